"""From a space to Optuna: only the parameters of what was chosen are asked for, each with its distribution."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from harness.errors import did_you_mean
from harness.spec import Categorical, Choice, Fixed, Group, Node, Range
from harness.spec.parameters import Scalar, contains
from harness.study.decide.idle import Effects, decides, idle_beside

Choose = Callable[[str, Categorical | Range], Scalar]


def suggest(trial: optuna.Trial, node: Node) -> dict[str, Scalar]:
    """Return the value of every searched parameter that exists and does something at this candidate, by dotted path."""

    def ask(path: str, parameter: Categorical | Range) -> Scalar:
        if isinstance(parameter, Categorical):
            return trial.suggest_categorical(path, parameter.choices)
        low, high, log, step = parameter.low, parameter.high, parameter.log, parameter.step
        if parameter.integer:
            return trial.suggest_int(path, int(low), int(high), log=log, step=int(step or 1))
        return trial.suggest_float(path, low, high, log=log, step=step)

    return _walk(node, ask)


def locate(node: Node, params: Mapping[str, Scalar]) -> dict[str, BaseDistribution]:
    """Return the distribution of every parameter of a point, in the order in which they are asked for.

    A parameter that does nothing there may have a value: earlier versions drew one. Raises ``ValueError`` where
    ``params`` are not a point of the space.
    """
    found: dict[str, BaseDistribution] = {}

    def look_up(path: str, parameter: Categorical | Range) -> Scalar:
        if path not in params:
            raise ValueError(f"parameter {path} is missing")
        if not contains(parameter, params[path]):
            raise ValueError(f"parameter {path} cannot be {params[path]!r}")
        found[path] = distribution(parameter)
        return params[path]

    _walk(node, look_up, though_idle=params)
    for path in params:
        if path not in found:
            raise ValueError(f"parameter {path} does not exist there{did_you_mean(path, found)}")
    return found


def distribution(parameter: Categorical | Range) -> BaseDistribution:
    """Return Optuna's form of a parameter."""
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(parameter.choices)
    low, high, log, step = parameter.low, parameter.high, parameter.log, parameter.step
    if parameter.integer:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def _walk(
    node: Node, choose: Choose, path: str = "", though_idle: Collection[str] = (), idle: Collection[str] = ()
) -> dict[str, Scalar]:
    """Have every parameter chosen that exists at the candidate that comes of it, and does something there."""
    match node:
        case Fixed():
            return {}
        case Categorical() | Range():
            return {path: choose(path, node)}
        case Group(items):
            chosen: dict[str, Scalar] = {}
            for name, item in items.items() if path else _deciding_first(node):
                at = f"{path}.{name}" if path else name
                idle = idle if path else idle_beside(node, chosen)
                if at not in idle or _given(at, though_idle):
                    chosen |= _walk(item, choose, at, though_idle, idle)
            return chosen
        case Choice(options):
            if len(options) == 1:
                name, own = next(iter(options)), {}
            else:
                name = str(choose(path, Categorical(tuple(options))))
                own = {path: name}
            return own | _walk_option(options[name], choose, path, name, though_idle)


def _deciding_first(group: Group) -> Iterator[tuple[str, Node]]:
    """Yield what a space has; first the architecture, where it may be one beside which other things do nothing."""
    first = "architecture" if decides(group) else ""
    return iter(sorted(group.items.items(), key=lambda item: item[0] != first))


def _given(path: str, params: Collection[str]) -> bool:
    """Tell whether there is a value for a parameter or for something in it."""
    return any(each == path or each.startswith(f"{path}.") for each in params)


def _walk_option(
    option: Group, choose: Choose, path: str, name: str, though_idle: Collection[str]
) -> dict[str, Scalar]:
    """Have the parameters of an option chosen, but for those that do nothing beside the others."""
    chosen: dict[str, Scalar] = {}
    effects = Effects(path, name, option)
    for param, node in effects.in_order():
        at = f"{path}.{name}.{param}"
        if effects.idle(param) and at not in though_idle:
            continue
        chosen |= _walk(node, choose, at, though_idle)
        if at in chosen:
            effects.values[param] = chosen[at]
    return chosen
