"""What a family is, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import nn

from harness.records import TaskShape
from harness.registry import Registry
from harness.spec.base import Frozen
from harness.spec.idle import Idle

Input = Literal["image", "table"]
C = TypeVar("C", bound=Frozen)


class FamilyConfig(Frozen):
    """The parameters of a family; the docstring under a field becomes its description in the JSON Schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """An architecture family: what it is called, what it takes, and how it is built."""

    name: str
    summary: str
    config: type[Frozen]
    """Its parameters with their bounds and defaults."""
    inputs: frozenset[Input]
    """The kinds of input it can be built for."""
    build: Callable[[Any, TaskShape], nn.Module]
    """Takes an instance of ``config`` and the shape of the task; draws weights from torch's global generator."""
    idle: tuple[Idle, ...] = ()
    """Parameters that do nothing beside some values of others."""


families: Registry[Family] = Registry("architecture")


def family(
    name: str, *, summary: str, config: type[C], inputs: Iterable[Input], idle: tuple[Idle, ...] = ()
) -> Callable[[Callable[[C, TaskShape], nn.Module]], Callable[[C, TaskShape], nn.Module]]:
    """Register the decorated build function as a family."""

    def register(build: Callable[[C, TaskShape], nn.Module]) -> Callable[[C, TaskShape], nn.Module]:
        known = Family(name=name, summary=summary, config=config, inputs=frozenset(inputs), build=build, idle=idle)
        families.add(name, known)
        return build

    return register


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
