"""What a family is, and the registry of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import nn

from harness.models.fitted import Samples
from harness.records import InputKind, TaskShape
from harness.registry import Registry
from harness.spec.base import Described, Frozen
from harness.spec.idle import Idle

Weights = str | os.PathLike[str]
"""A safetensors file, a folder with ``model.safetensors``, or the folder of a run."""
C = TypeVar("C", bound=Frozen)


@dataclass(frozen=True, slots=True)
class Fitting:
    """How the models of a family are fitted, instead of trained by steps down a gradient."""

    fit: Callable[[Any, nn.Module, Samples], Iterator[None]]
    """Takes an instance of the family's ``config``, the module to fill and the samples; yields after each stage, when
    the module is of use. Fitted anew to the same samples it passes through the same stages. Raises ``ValueError`` where
    they cannot be fitted."""
    stages: int = 1
    """Most stages of a fit: after each the model is measured, as a network is after each epoch."""


class FamilyConfig(Described):
    """The parameters of a family; the docstring under a field becomes its description in the JSON Schema.

    Fields have types, bounds and defaults as pydantic takes them; an unknown one is an error with a suggestion.

    >>> class WideConfig(FamilyConfig):
    ...     width: int = 64
    >>> WideConfig(width=32).width
    32
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """An architecture family: what it is called, what it takes, and how it is built."""

    name: str
    summary: str
    config: type[Frozen]
    """Its parameters with their bounds and defaults."""
    why_not: Callable[[TaskShape], str]
    """Says why it cannot be built for a task; "" where it can."""
    build: Callable[[Any, TaskShape], nn.Module]
    """Takes an instance of ``config`` and the shape of the task; draws weights from torch's global generator."""
    idle: tuple[Idle, ...] = ()
    """Parameters that do nothing beside some values of others."""
    own_preprocessing: tuple[str, ...] = ()
    """The keys of ``preprocessing`` that do nothing here, since the family has a way of its own."""
    weights: Callable[[Any], Weights | None] | None = None
    """Takes an instance of ``config`` and says with what weights a training begins; None: with those drawn."""
    fitting: Fitting | None = None
    """How its models are fitted; None: they are trained by steps down a gradient."""


families: Registry[Family] = Registry("architecture")
"""Families by the name under which a space has them; :func:`family` adds one.

>>> sorted(families)[:3]
['cnn', 'convnext', 'dlinear']
"""


def family(
    name: str,
    *,
    summary: str,
    config: type[C],
    why_not: Callable[[TaskShape], str],
    idle: tuple[Idle, ...] = (),
    own_preprocessing: tuple[str, ...] = (),
    weights: Callable[[C], Weights | None] | None = None,
    fitting: Fitting | None = None,
) -> Callable[[Callable[[C, TaskShape], nn.Module]], Callable[[C, TaskShape], nn.Module]]:
    """Register the decorated build function as a family, under a name that spaces then know.

    ``config`` is the model of its parameters, an instance of which ``build`` takes with the shape of the task.
    ``why_not`` says why it cannot be built for a shape, "" where it can; ``idle`` names parameters that do nothing
    beside some values of others, ``own_preprocessing`` the keys of ``preprocessing`` that do nothing here, ``weights``
    the file or run with whose weights a training begins; ``fitting`` says how the module is filled that ``build``
    returns, where that is not by training.

    >>> class LinearConfig(FamilyConfig):
    ...     bias: bool = True
    >>> numbers = takes((InputKind.NUMERIC,))
    >>> @family("linear-example", summary="a linear model", config=LinearConfig, why_not=numbers)
    ... def build(config, shape):
    ...     return nn.Linear(shape.inputs[0].sizes[0], shape.outputs, bias=config.bias)
    >>> "linear-example" in families
    True
    """

    def register(build: Callable[[C, TaskShape], nn.Module]) -> Callable[[C, TaskShape], nn.Module]:
        known = Family(
            name=name,
            summary=summary,
            config=config,
            why_not=why_not,
            build=build,
            idle=idle,
            own_preprocessing=own_preprocessing,
            weights=weights,
            fitting=fitting,
        )
        families.add(name, known)
        return build

    return register


def takes(*fitting: tuple[InputKind, ...]) -> Callable[[TaskShape], str]:
    """Return the ``why_not`` of a family that takes inputs of exactly these kinds, in this order, of a fixed shape.

    >>> from harness.records import TaskKind, image_inputs
    >>> why_not = takes((InputKind.NUMERIC,), (InputKind.NUMERIC, InputKind.CATEGORICAL))
    >>> why_not(TaskShape(kind=TaskKind.CLASSIFICATION, outputs=10, inputs=image_inputs(1, 8, 8)))
    'takes numeric or numeric and categorical inputs, the task has image inputs'
    """
    wanted = " or ".join(map(_said, fitting))

    def why_not(shape: TaskShape) -> str:
        given = tuple(each.kind for each in shape.inputs)
        if given not in fitting:
            return f"takes {wanted} inputs, the task has {_said(given)} inputs"
        if any(None in each.shape for each in shape.inputs):
            return "takes inputs of a fixed shape, the length of the task's varies"
        if all(0 in each.shape for each in shape.inputs):
            return "the task's table has no input columns; keep at least one"
        return ""

    return why_not


def _said(kinds: tuple[InputKind, ...]) -> str:
    return " and ".join(kinds) or "no"


def _allow_bare_name(schema: dict[str, Any]) -> None:
    """Make a Choice's JSON Schema say what its validator accepts: one key, or the name alone."""
    mapping = {key: schema.pop(key) for key in ("type", "properties", "additionalProperties")}
    schema["anyOf"] = [{"enum": list(mapping["properties"])}, {**mapping, "minProperties": 1, "maxProperties": 1}]


class Choice(FamilyConfig):
    """One of several options, each a field with its own parameters: ``{name: {params}}``, or the bare ``name``.

    Subclasses declare every option as ``name: Params | None = None``.
    """

    model_config = ConfigDict(json_schema_extra=_allow_bare_name)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_parameters(cls, value: object) -> object:
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, Mapping):
            return {name: {} if params is None else params for name, params in value.items()}
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Choice:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"choose exactly one of {', '.join(type(self).model_fields)}")
        return self

    @model_serializer(mode="wrap")
    def _only_the_chosen(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: params for name, params in serialise(self).items() if params is not None}
