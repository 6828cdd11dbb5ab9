"""From an architecture's name and parameters to a module, with messages that name the key to change."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from torch import nn

from harness.errors import InputError
from harness.models.families import own
from harness.models.family import Input, families
from harness.records import Named, TaskShape
from harness.spec.base import Frozen
from harness.spec.explain import reason


def build(architecture: Named, shape: TaskShape, *, trust: bool = False) -> nn.Module:
    """Return the module for a task, its weights drawn from torch's global generator, ready to be trained.

    It is in training mode, but for parts that a module of the user's own keeps frozen; nothing else may call its
    ``train()``.

    ``architecture`` names a family with its parameters, or holds ``family: "package.module:function"`` among them: that
    function is the user's own, imported only with ``trust`` and called as ``function(shape, **other_params)``.

    Raises:
        InputError: an unknown family or parameter, a value out of bounds, inputs that the family cannot take, or the
            user's own function is not trusted, cannot be imported or does not return a fitting module.
    """
    if own.is_own(architecture):
        return own.build(architecture, shape, trust=trust)
    config = _parse(architecture)
    family = families[architecture.name]
    given: Input = "table" if shape.image is None else "image"
    if given not in family.inputs:
        fitting = ", ".join(name for name, other in families.items() if given in other.inputs)
        raise InputError(
            f"architecture.{family.name}: cannot be used, the task has {given} inputs; use one of: {fitting}"
        )
    if shape.image is None and not shape.features and not shape.cardinalities:
        raise InputError(f"architecture.{family.name}: the task's table has no input columns; keep at least one")
    return family.build(config, shape)


def validate(architecture: Named) -> None:
    """Check name and parameters without building; parameters left out have their defaults.

    The user's own function is not imported, so of that only the form of its path is checked.

    Raises:
        InputError: as for :func:`build`.
    """
    if own.is_own(architecture):
        own.check_path(architecture)
    else:
        _parse(architecture)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of every family's parameters, by the family's name."""
    return {name: family.config.model_json_schema() for name, family in families.items()}


def _parse(architecture: Named) -> Frozen:
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
