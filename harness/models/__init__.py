"""Architecture families: parameters and the shape of a task go in, a module comes out.

A family is one file in ``families/`` that registers itself with :func:`harness.models.family.family`.
"""

from __future__ import annotations

from harness.models.build import build, schema, validate
from harness.models.calling import evaluating, example_inputs
from harness.models.ensemble import Ensemble
from harness.models.families.own import is_own, own_sha256
from harness.models.family import Family, families
from harness.models.tempered import Tempered

__all__ = [
    "Ensemble",
    "Family",
    "Tempered",
    "build",
    "evaluating",
    "example_inputs",
    "families",
    "is_own",
    "own_sha256",
    "schema",
    "validate",
]
