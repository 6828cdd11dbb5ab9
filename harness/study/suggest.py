"""From a space to Optuna: only the parameters of what was chosen are asked for, each with its distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from harness.errors import did_you_mean
from harness.spec import Categorical, Choice, Fixed, Group, Node, Range
from harness.spec.parameters import Scalar

Choose = Callable[[str, Categorical | Range], Scalar]


def suggest(trial: optuna.Trial, node: Node) -> dict[str, Scalar]:
    """Return the value of every searched parameter that exists at this candidate, by dotted path."""

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

    Raises ``ValueError`` where ``params`` are not a point of the space.
    """
    found: dict[str, BaseDistribution] = {}

    def look_up(path: str, parameter: Categorical | Range) -> Scalar:
        if path not in params:
            raise ValueError(f"parameter {path} is missing")
        if not _contains(parameter, params[path]):
            raise ValueError(f"parameter {path} cannot be {params[path]!r}")
        found[path] = distribution(parameter)
        return params[path]

    _walk(node, look_up)
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


def _walk(node: Node, choose: Choose, path: str = "") -> dict[str, Scalar]:
    """Have every parameter chosen that exists at the candidate that comes of it."""
    match node:
        case Fixed():
            return {}
        case Categorical() | Range():
            return {path: choose(path, node)}
        case Group(items):
            chosen: dict[str, Scalar] = {}
            for name, item in items.items():
                chosen |= _walk(item, choose, f"{path}.{name}" if path else name)
            return chosen
        case Choice(options):
            if len(options) == 1:
                name, own = next(iter(options)), {}
            else:
                name = str(choose(path, Categorical(tuple(options))))
                own = {path: name}
            return own | _walk(options[name], choose, f"{path}.{name}")


def _contains(parameter: Categorical | Range, value: Scalar) -> bool:
    if isinstance(parameter, Categorical):
        return any(type(choice) is type(value) and choice == value for choice in parameter.choices)
    if isinstance(value, bool) or not isinstance(value, int if parameter.integer else float):
        return False
    if parameter.step is None and not parameter.integer:
        return parameter.low <= value <= parameter.high
    # The last of many steps may miss the end of the range by the rounding of a float.
    step = parameter.step or 1
    steps = (value - parameter.low) / step
    return abs(steps - round(steps)) < 1e-8 and 0 <= round(steps) <= round((parameter.high - parameter.low) / step)
