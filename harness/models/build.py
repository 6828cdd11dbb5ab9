"""From an architecture's name and parameters to a module, with messages that name the key to change."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from torch import nn

from harness.errors import InputError
from harness.models.families import own
from harness.models.family import Fitting, families
from harness.models.preprocessed import Preprocessed, table_inputs_of
from harness.models.reversible import Reversible
from harness.problems import problems
from harness.records import Named, TaskShape
from harness.spec.base import Frozen
from harness.spec.explain import reason
from harness.spec.training import Preprocessing


def build(
    architecture: Named, shape: TaskShape, *, preprocessing: Preprocessing | None = None, trust: bool = False
) -> nn.Module:
    """Return the module for a task, its weights drawn from torch's global generator, ready to be trained.

    It is in training mode, but for parts that a module of the user's own keeps frozen; nothing else may call its
    ``train()``.

    ``architecture`` names a family with its parameters, or holds ``family: "package.module:function"`` among them: that
    function is the user's own, imported only with ``trust`` and called as ``function(shape, **other_params)``. What
    predicts how a series goes on sees each window on its own mean and deviation; a network for a table sees what
    ``preprocessing`` makes of it, as far as it has no way of its own.

    Raises:
        InputError: an unknown family or parameter, a value out of bounds, inputs that the family cannot take or that
            are not preprocessed so, or the user's own function is not trusted, cannot be imported or does not return a
            fitting module.
    """
    inputs = table_inputs_of(preprocessing or Preprocessing(), shape, idle_preprocessing(architecture))
    seen = shape if inputs is None else inputs.shape
    model = own.build(architecture, seen, trust=trust) if own.is_own(architecture) else _of_family(architecture, seen)
    if inputs is not None:
        model = Preprocessed(inputs, model)
    return Reversible(model) if problems[shape.kind].continues else model


def _of_family(architecture: Named, shape: TaskShape) -> nn.Module:
    config = parse(architecture)
    family = families[architecture.name]
    if why := family.why_not(shape):
        fitting = ", ".join(name for name, other in families.items() if not other.why_not(shape))
        raise InputError(f"architecture.{family.name}: {why}" + (f"; use one of: {fitting}" if fitting else ""))
    return family.build(config, shape)


def configuration(architecture: Named) -> str:
    """Return the family and every parameter with its value, defaults included, as one line; raises as :func:`build`.

    Two architectures with equal lines are the same model of a task, and any difference shows. Of a user's own function
    the defaults are not known.
    """
    if own.is_own(architecture):
        return json.dumps(dict(architecture.params), sort_keys=True, default=str)
    return f"{architecture.name} {parse(architecture).model_dump_json()}"


def fitting_of(architecture: Named) -> Fitting | None:
    """Return how the models of an architecture are fitted; None where they are trained by steps down a gradient."""
    known = architecture.name in families and not own.is_own(architecture)
    return families[architecture.name].fitting if known else None


def idle_preprocessing(architecture: Named) -> tuple[str, ...]:
    """Return the keys of ``preprocessing`` that do nothing with an architecture: all of them where it is fitted."""
    if architecture.name not in families or own.is_own(architecture):
        return ()
    family = families[architecture.name]
    return tuple(Preprocessing.model_fields) if family.fitting is not None else family.own_preprocessing


def validate(architecture: Named) -> None:
    """Check name and parameters without building; parameters left out have their defaults.

    The user's own function is not imported, so of that only the form of its path is checked.

    Raises:
        InputError: as for :func:`build`.
    """
    if own.is_own(architecture):
        own.check_path(architecture)
    else:
        parse(architecture)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of every family's parameters, by the family's name."""
    return {name: family.config.model_json_schema() for name, family in families.items()}


def parse(architecture: Named) -> Frozen:
    """Return the parameters of a family, checked, with those left out at their defaults."""
    config = families[architecture.name].config
    try:
        return config.model_validate(dict(architecture.params))
    except ValidationError as error:
        raise InputError(
            "; ".join(_problem(architecture.name, finding, config) for finding in error.errors())
        ) from None


def _problem(family: str, finding: Any, config: type[Frozen]) -> str:
    """Return ``key.path: what is wrong`` for one of pydantic's findings."""
    path = ".".join(["architecture", family, *map(str, finding["loc"])])
    return f"{path}: {reason(finding, config)}"
