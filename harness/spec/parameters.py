"""What may vary: the nodes of a space, parsed from their YAML forms.

====================================  =======================================================
``3``, ``relu``, ``true``             :class:`Fixed`
``[relu, gelu]``                      :class:`Categorical`
``{int: [1, 4]}``, ``{float: ...}``   :class:`Range`, with ``log: true`` or ``step:``
``{mlp: {...}, cnn: {...}}``          :class:`Choice`: one of, each with parameters of its own
====================================  =======================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import did_you_mean

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]


class NodeError(ValueError):
    """A node of the space is malformed; ``path`` says which."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Fixed:
    """One value: nothing to search."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of several unordered values."""

    choices: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """An interval of integers or reals, both ends included."""

    integer: bool
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def grid(self) -> tuple[float, ...] | None:
        """Return every value, or None for a continuous range."""
        if self.step is None and not self.integer:
            return None
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        values = [self.low + i * step for i in range(count)]
        return tuple(int(v) for v in values) if self.integer else tuple(values)


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that exist together, by name."""

    items: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several options; an option's parameters exist only when it is chosen."""

    options: Mapping[str, Group]


Node = Fixed | Categorical | Range | Choice | Group


def parse_node(value: object, path: Path) -> Node:
    """Parse any node by its form. Raises :class:`NodeError`."""
    if isinstance(value, Mapping):
        if "int" in value or "float" in value:
            return _parse_range(value, path)
        if value and all(isinstance(option, Mapping) or option is None for option in value.values()):
            return parse_choice(value, path)
        raise NodeError(
            path,
            "expected a value, a list of values, {int: [low, high]}, {float: [low, high]} or a mapping of options"
            + "".join(did_you_mean(str(key), ("int", "float")) for key in value if str(key)[:1] in "if"),
        )
    if isinstance(value, list):
        return _parse_categorical(value, path)
    return Fixed(_scalar(value, path))


def parse_choice(value: object, path: Path) -> Choice:
    """Parse options: a mapping of mappings, a list of names, or one name (an option without parameters set)."""
    if isinstance(value, str):
        value = {value: None}
    elif isinstance(value, list):
        for i, name in enumerate(value):
            if not isinstance(name, str):
                raise NodeError((*path, i), f"expected the name of an option, got {name!r}")
        value = dict.fromkeys(value)
    if not isinstance(value, Mapping) or not value:
        raise NodeError(path, "expected at least one option, such as `mlp: {depth: {int: [1, 4]}}`")
    return Choice({str(name): parse_group(params, (*path, str(name))) for name, params in value.items()})


def parse_group(value: object, path: Path) -> Group:
    """Parse the parameters of an option; nothing at all means its defaults."""
    if value is None:
        return Group({})
    if not isinstance(value, Mapping):
        raise NodeError(path, f"expected parameters as a mapping, got {value!r}")
    return Group({str(key): parse_node(item, (*path, str(key))) for key, item in value.items()})


def _scalar(value: object, path: Path) -> Scalar:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NodeError(path, f"{value} is not a finite number")
        return value
    raise NodeError(path, f"expected a plain value, got {type(value).__name__} {value!r}")


def _parse_categorical(value: list[object], path: Path) -> Node:
    if not value:
        raise NodeError(path, "the list of values is empty")
    choices = tuple(_scalar(item, (*path, i)) for i, item in enumerate(value))
    for i, item in enumerate(choices):
        if item in choices[:i]:
            raise NodeError((*path, i), f"value {item!r} appears twice (1, 1.0 and true count as equal)")
    return Fixed(choices[0]) if len(choices) == 1 else Categorical(choices)


def _parse_range(value: Mapping[str, Any], path: Path) -> Node:
    kind = "int" if "int" in value else "float"
    for key in value:
        if key not in (kind, "log", "step"):
            raise NodeError((*path, key), f"unknown key in a range{did_you_mean(str(key), ('log', 'step'))}")
    low, high = _bounds(value[kind], kind, (*path, kind))
    log, step = value.get("log", False), value.get("step")
    if not isinstance(log, bool):
        raise NodeError((*path, "log"), f"expected true or false, got {log!r}")
    if log and low <= 0:
        raise NodeError(path, f"log: true needs a low end above 0, got {low}")
    if step is not None:
        if log:
            raise NodeError(path, "log and step exclude each other; drop one of them")
        _check_step(step, kind, low, high, (*path, "step"))
    if low == high:
        return Fixed(low)
    return Range(kind == "int", low, high, log, step)


def _bounds(bounds: object, kind: str, path: Path) -> tuple[float, float]:
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise NodeError(path, f"expected [low, high], got {bounds!r}")
    for i, bound in enumerate(bounds):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise NodeError((*path, i), f"expected a finite number, got {bound!r}")
        if kind == "int" and not isinstance(bound, int):
            raise NodeError((*path, i), f"expected a whole number, got {bound!r}; use `float` for reals")
        if abs(bound) > 2**53:
            raise NodeError((*path, i), f"{bound!r} is beyond what a 64-bit float holds exactly")
    low, high = bounds
    if low > high:
        raise NodeError(path, f"low {low} is above high {high}; swap them")
    return (low, high) if kind == "int" else (float(low), float(high))


def _check_step(step: object, kind: str, low: float, high: float, path: Path) -> None:
    if isinstance(step, bool) or not isinstance(step, int | float) or not math.isfinite(step) or step <= 0:
        raise NodeError(path, f"expected a number above 0, got {step!r}")
    if kind == "int" and not isinstance(step, int):
        raise NodeError(path, f"expected a whole number, got {step!r}")
    count = (high - low) / step
    if abs(count - round(count)) > 1e-9 * max(1.0, count):
        below = low + math.floor(count) * step
        raise NodeError(path, f"step {step} does not lead from {low} to {high}; end at {below:g} or {below + step:g}")
    if count > 1_000_000:
        raise NodeError(path, f"step {step} cuts the range into {round(count)} values; leave it out or enlarge it")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One searched parameter in the flattened space."""

    path: str
    node: Categorical | Range
    condition: str
    """What must have been chosen for it to exist, ``""`` when it always does."""


def parameters(node: Node, path: str = "", condition: str = "") -> Iterator[Parameter]:
    """Yield every searched parameter in the order of the file; a choice of several options is one itself."""
    if isinstance(node, Categorical | Range):
        yield Parameter(path, node, condition)
    elif isinstance(node, Group):
        for name, item in node.items.items():
            yield from parameters(item, f"{path}.{name}" if path else name, condition)
    elif isinstance(node, Choice):
        several = len(node.options) > 1
        if several:
            yield Parameter(path, Categorical(tuple(node.options)), condition)
        for name, group in node.options.items():
            inner = f"{path} = {name}" if several else condition
            yield from parameters(group, f"{path}.{name}", inner)


def contains(node: Categorical | Range, value: Scalar) -> bool:
    """Tell whether a parameter can take a value; 1, 1.0 and true are three."""
    if isinstance(node, Categorical):
        return any(type(choice) is type(value) and choice == value for choice in node.choices)
    if isinstance(value, bool) or not isinstance(value, int if node.integer else float):
        return False
    if node.step is None and not node.integer:
        return node.low <= value <= node.high
    # The last of many steps may miss the end of the range by the rounding of a float.
    step = node.step or 1
    steps = (value - node.low) / step
    return abs(steps - round(steps)) < 1e-8 and 0 <= round(steps) <= round((node.high - node.low) / step)


def size(node: Node) -> float:
    """Return how many candidates a node spans; ``inf`` as soon as a continuous range is among them."""
    match node:
        case Fixed():
            return 1
        case Categorical(choices):
            return len(choices)
        case Range():
            grid = node.grid()
            return math.inf if grid is None else len(grid)
        case Group(items):
            return math.prod(size(item) for item in items.values())
        case Choice(options):
            return sum(size(option) for option in options.values())
