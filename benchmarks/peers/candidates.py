"""A space file as the peers read it: what it asks of whoever draws, and the candidate that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Range(NamedTuple):
    """``{int|float: [low, high], ...}`` of a space file: numbers with both ends included."""

    integer: bool
    low: float
    high: float
    log: bool
    step: int


Ask = Callable[[str, list[Any] | Range], Any]
"""What chooses: by the path of a parameter, from a list of values or a range."""


class Option(NamedTuple):
    """What was chosen by name, with its parameters."""

    name: str
    parameters: dict[str, Any]


class Candidate(NamedTuple):
    """One point of the space."""

    architecture: Option
    optimizer: Option
    batch_size: int
    schedule: Option = Option("constant", {})
    label_smoothing: float = 0.0


def draw(space: Mapping[str, Any], ask: Ask) -> Candidate:
    """Return a candidate, asking for its parameters in the order of the file."""
    named = ("architecture", "optimizer", "schedule")
    drawn: dict[str, Any] = {
        key: _option(key, node, ask) if key in named else _value(key, node, ask) for key, node in space.items()
    }
    return Candidate(**drawn)


def look_up(config: Mapping[str, Any]) -> Ask:
    """Return what answers with values that were drawn before, by their paths."""
    return lambda path, _: config[path]


def _option(path: str, options: Mapping[str, Any], ask: Ask) -> Option:
    name = next(iter(options)) if len(options) == 1 else ask(path, list(options))
    return Option(name, {key: _value(f"{path}.{name}.{key}", node, ask) for key, node in options[name].items()})


def _value(path: str, node: Any, ask: Ask) -> Any:
    if isinstance(node, list):
        return ask(path, node)
    if not isinstance(node, dict):
        return node
    integer = "int" in node
    low, high = node["int" if integer else "float"]
    return ask(path, Range(integer, low, high, node.get("log", False), node.get("step", 1)))
