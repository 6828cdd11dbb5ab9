"""Architecture families: parameters and the shape of a task go in, a module comes out.

A family is one file in ``families/`` that registers itself with :func:`harness.models.family.family`.
"""

from __future__ import annotations

from harness.models.build import build, configuration, fitting_of, idle_preprocessing, parse, schema, validate
from harness.models.calibrated import Curve, Curves, Isotonic, calibrated
from harness.models.calling import evaluating, example_inputs
from harness.models.cost import count_flops, count_parameters, flops_of
from harness.models.ensemble import Ensemble, Tempered
from harness.models.families.own import is_own, own_sha256
from harness.models.family import Family, Fitting, families, takes
from harness.models.fitted import Fitted, Samples, is_fitted
from harness.models.preprocessed import Preprocessed
from harness.models.weights import load_weights
from harness.problems.outputs import Members, Outputs, leaves, mapped, prediction

__all__ = [
    "Curve",
    "Curves",
    "Ensemble",
    "Family",
    "Fitted",
    "Fitting",
    "Isotonic",
    "Members",
    "Outputs",
    "Preprocessed",
    "Samples",
    "Tempered",
    "build",
    "calibrated",
    "configuration",
    "count_flops",
    "count_parameters",
    "evaluating",
    "example_inputs",
    "families",
    "fitting_of",
    "flops_of",
    "idle_preprocessing",
    "is_fitted",
    "is_own",
    "leaves",
    "load_weights",
    "mapped",
    "own_sha256",
    "parse",
    "prediction",
    "schema",
    "takes",
    "validate",
]
