"""Which parameters of a candidate do nothing, as its family, optimiser or schedule declares it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.models import families, fitting_of, idle_preprocessing
from harness.records import Named
from harness.spec import Categorical, Choice, Fixed, Group, Node, Range, parameters
from harness.spec.base import Frozen
from harness.spec.idle import Idle
from harness.spec.names import OF_FITTED
from harness.train import optimizers, schedules

PREPROCESSING = "preprocessing"


def of_fitted(key: str) -> bool:
    """Tell whether a key of a space does something where a model is fitted."""
    return key in OF_FITTED


def is_fitted(group: Group, chosen: Mapping[str, Any]) -> bool:
    """Tell whether the architecture at a point of a space is fitted; not where the space does not have it."""
    named = _architecture(group, chosen)
    return named is not None and fitting_of(named) is not None


def idle_beside(group: Group, chosen: Mapping[str, Any]) -> Collection[str]:
    """Return what of a space does nothing beside the architecture at a point, by dotted path.

    Those are keys, with all that is in them, and keys of ``preprocessing``.
    """
    named = _architecture(group, chosen)
    if named is None:
        return ()
    if fitting_of(named) is not None:
        return [name for name in group.items if not of_fitted(name)]
    node = group.items.get(PREPROCESSING)
    known = node.items if isinstance(node, Group) else ()
    return [f"{PREPROCESSING}.{key}" for key in idle_preprocessing(named) if key in known]


def _architecture(group: Group, chosen: Mapping[str, Any]) -> Named | None:
    """Return the family at a point of a space; None where it is the user's own, or not known."""
    node = group.items.get("architecture")
    if not isinstance(node, Choice):
        return None
    only = next(iter(node.options)) if len(node.options) == 1 else None
    name = chosen.get("architecture", only)
    return Named(name) if name in node.options and "family" not in node.options[name].items else None


def architectures(group: Group) -> Collection[str]:
    """Return the names among which a space chooses its architecture."""
    node = group.items.get("architecture")
    return node.options if isinstance(node, Choice) else ()


def decides(group: Group) -> bool:
    """Tell whether the architecture of a space decides about more than its own parameters."""
    points = [{"architecture": name} for name in architectures(group)]
    return any(is_fitted(group, point) or idle_beside(group, point) for point in points)


class Effects:
    """What has an effect in one option of the space, as the values of its parameters come to be known."""

    def __init__(self, choice: str, name: str, option: Group) -> None:
        self._rules, defaults = _declared(choice, name, option)
        fixed = {param: node.value for param, node in option.items.items() if isinstance(node, Fixed)}
        self.values: dict[str, Any] = {**defaults, **fixed}
        """Of the parameters that are known; whoever chooses others adds them."""
        self._option = option

    def in_order(self) -> Iterator[tuple[str, Node]]:
        """Yield the parameters, those first that decide about others, whatever their order in the file."""
        deciding = {param for rule in self._rules for param in rule.where}
        return iter(sorted(self._option.items.items(), key=lambda item: item[0] not in deciding))

    def idle(self, param: str) -> bool:
        """Tell whether a parameter does nothing, as far as values are known."""
        return any(param in rule.names and rule.holds(self.values) for rule in self._rules)

    def needed_where(self) -> Iterator[tuple[str, str]]:
        """Yield the parameters that do nothing at some candidate of the option, with where they do something."""
        least = {**self.values, **{param: _least(node) for param, node in self._option.items.items()}}
        for param in self._option.items:
            rules = [rule for rule in self._rules if param in rule.names and rule.holds(least)]
            if rules:
                yield param, ", ".join(_beyond(rule) for rule in rules)


def needed_where(group: Group) -> Mapping[str, str]:
    """Return where each parameter does something that does nothing at some candidate of a space, by dotted path."""
    idle = {name: idle_beside(group, {"architecture": name}) for name in architectures(group)}
    beside = {
        parameter.path: f"architecture is {' or '.join(name for name in idle if name not in without)}"
        for parameter in parameters(group)
        if (without := [name for name, paths in idle.items() if _within(parameter.path, paths)])
    }
    return beside | {
        f"{choice}.{name}.{param}": where
        for choice, node in group.items.items()
        if isinstance(node, Choice)
        for name, option in node.options.items()
        for param, where in Effects(choice, name, option).needed_where()
    }


def _within(path: str, others: Collection[str]) -> bool:
    """Tell whether a path is one of others, or in it."""
    return any(path == other or path.startswith(f"{other}.") for other in others)


def _beyond(rule: Idle) -> str:
    return " or ".join(f"{name} > {limit:g}" for name, limit in rule.where.items())


def _declared(choice: str, name: str, option: Group) -> tuple[tuple[Idle, ...], Mapping[str, Any]]:
    """Return the rules of an option with its defaults; of what is unknown, or the user's own, there are none."""
    if choice == "architecture" and name in families and "family" not in option.items:
        return families[name].idle, _defaults(families[name].config)
    for registry in (optimizers, schedules):
        if choice == registry.kind and name in registry:
            return registry[name].idle, _defaults(registry[name].config)
    return (), {}


def _defaults(config: type[Frozen]) -> Mapping[str, Any]:
    return {name: field.default for name, field in config.model_fields.items()}


def _least(node: Node) -> object:
    """Return the smallest number that a parameter can be, None where it is none."""
    if isinstance(node, Range):
        return node.low
    values = node.choices if isinstance(node, Categorical) else [node.value] if isinstance(node, Fixed) else []
    return min((value for value in values if isinstance(value, int | float)), default=None)
