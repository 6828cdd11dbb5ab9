"""A candidate: one point of a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records import Named
from harness.spec.document import Spec
from harness.spec.names import SCHEDULES
from harness.spec.parameters import Categorical, Choice, Fixed, Group, Node, Range, Scalar
from harness.spec.training import NESTED, Training

CHOICES = ("architecture", "optimizer", *SCHEDULES)
"""Keys of a space whose value is one of several options with parameters of their own."""

DEFAULTS: Mapping[str, str] = {"optimizer": "adamw", **dict.fromkeys(SCHEDULES, "constant")}
"""What is taken where a space says nothing."""

CONSTANT = Named("constant")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture with its hyperparameters: all that training needs."""

    architecture: Named
    optimizer: Named
    schedule: Named
    training: Training
    dropout_schedule: Named = CONSTANT
    weight_decay_schedule: Named = CONSTANT

    def as_dict(self) -> dict[str, Any]:
        """Return the candidate as a space file would say it, with everything fixed."""
        choices = {key: {named.name: dict(named.params)} for key in CHOICES for named in (getattr(self, key),)}
        return {**choices, **self.training.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Candidate:
        """Rebuild what :meth:`as_dict` returned, be it that of an earlier version."""
        value = completed(value)
        named = {key: Named(*next(iter(value[key].items()))) for key in CHOICES}
        rest = {key: item for key, item in value.items() if key not in CHOICES}
        return cls(**named, training=Training.model_validate(rest))


def completed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a candidate's dict with the defaults of what it does not say, as one of an earlier version may not."""
    options: dict[str, Any] = {key: {name: {}} for key, name in DEFAULTS.items()}
    training = Training().model_dump(mode="json")
    nested = {key: {**training[key], **value.get(key, {})} for key in NESTED}
    return {**options, **training, **value, **nested}


def candidate_at(spec: Spec, chosen: Mapping[str, Scalar]) -> Candidate:
    """Return the candidate at ``chosen``; a parameter that has no value there does nothing and is left out."""
    values = _resolve(spec.group, "", chosen)
    named = {key: Named(*next(iter(values.pop(key, {DEFAULTS.get(key): {}}).items()))) for key in CHOICES}
    fixed = spec.training.model_dump()
    nested = {key: {**fixed[key], **values.pop(key, {})} for key in NESTED}
    return Candidate(**named, training=Training.model_validate({**fixed, **values, **nested}))


def _resolve(node: Node, path: str, chosen: Mapping[str, Scalar]) -> Any:
    match node:
        case Fixed(value):
            return value
        case Categorical() | Range():
            return chosen[path]
        case Group(items):
            found = {name: f"{path}.{name}" if path else name for name in items}
            return {
                name: _resolve(items[name], at, chosen) for name, at in found.items() if _known(items[name], at, chosen)
            }
        case Choice(options):
            name = str(chosen[path]) if len(options) > 1 else next(iter(options))
            return {name: _resolve(options[name], f"{path}.{name}", chosen)}


def _known(node: Node, path: str, chosen: Mapping[str, Scalar]) -> bool:
    open_choice = isinstance(node, Choice) and len(node.options) > 1
    return path in chosen or not (open_choice or isinstance(node, Categorical | Range))


def options_of(spec: Spec) -> tuple[str, ...]:
    """Return the names of the architectures that a spec searches."""
    node = spec.group.items["architecture"]
    assert isinstance(node, Choice)
    return tuple(node.options)
