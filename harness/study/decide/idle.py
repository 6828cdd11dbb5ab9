"""Which parameters of a candidate do nothing, as its family, optimiser or schedule declares it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.models import families, fitting_of
from harness.records import Named
from harness.spec import Categorical, Choice, Fixed, Group, Node, Range, parameters
from harness.spec.base import Frozen
from harness.spec.idle import Idle
from harness.spec.names import OF_FITTED
from harness.train import optimizers, schedules


def of_fitted(key: str) -> bool:
    """Tell whether a key of a space does something where a model is fitted."""
    return key in OF_FITTED


def is_fitted(group: Group, chosen: Mapping[str, Any]) -> bool:
    """Tell whether the architecture at a point of a space is fitted; not where the space does not have it."""
    node = group.items.get("architecture")
    if not isinstance(node, Choice):
        return False
    only = next(iter(node.options)) if len(node.options) == 1 else None
    name = chosen.get("architecture", only)
    if name not in node.options or "family" in node.options[name].items:
        return False
    return fitting_of(Named(name)) is not None


def architectures(group: Group) -> Collection[str]:
    """Return the names among which a space chooses its architecture."""
    node = group.items.get("architecture")
    return node.options if isinstance(node, Choice) else ()


def fitted_of(group: Group) -> list[str]:
    """Return the architectures of a space that are fitted."""
    return [name for name in architectures(group) if is_fitted(group, {"architecture": name})]


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
    names, fitted = architectures(group), fitted_of(group)
    networks = [name for name in names if name not in fitted]
    beside_networks = {
        parameter.path: f"architecture is {' or '.join(networks)}"
        for parameter in parameters(group)
        if fitted and not of_fitted(parameter.path.partition(".")[0])
    }
    return beside_networks | {
        f"{choice}.{name}.{param}": where
        for choice, node in group.items.items()
        if isinstance(node, Choice)
        for name, option in node.options.items()
        for param, where in Effects(choice, name, option).needed_where()
    }


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
