"""``search.first``: candidates that are tried before the sampler is asked, each in the nested form of a space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from harness.errors import did_you_mean
from harness.spec.parameters import (
    Categorical,
    Choice,
    Fixed,
    Group,
    Node,
    NodeError,
    Path,
    Range,
    Scalar,
    contains,
)


def point_of(group: Group, candidate: Mapping[str, Any], path: Path = ()) -> dict[str, Scalar]:
    """Return the searched parameters that a candidate fixes, by dotted path; what it leaves out is not among them.

    ``path`` is where the candidate stands. Raises :class:`NodeError` where it is not a part of the space.
    """
    return dict(_points(group, candidate, path, ""))


def _points(node: Node, value: object, path: Path, at: str) -> Iterator[tuple[str, Scalar]]:
    """Yield the parameters below the node ``at`` a dotted path of the space."""
    match node:
        case Group(items):
            yield from _members(items, value, path, at)
        case Choice(options):
            name, params = _option(value, path)
            if name not in options:
                raise NodeError((*path, name), f"not an option of this space{did_you_mean(name, options)}")
            if len(options) > 1:
                yield at, name
            yield from _points(options[name], params, (*path, name), f"{at}.{name}")
        case Fixed(only):
            if value != only or isinstance(value, bool) != isinstance(only, bool):
                raise NodeError(path, f"the space has only {_text(only)} here, not {_text(value)}; leave it out")
        case Categorical() | Range():
            yield at, value_at(node, value, path)


def _members(items: Mapping[str, Node], value: object, path: Path, at: str) -> Iterator[tuple[str, Scalar]]:
    if not isinstance(value, Mapping):
        raise NodeError(path, f"expected parameters as a mapping, got {value!r}")
    for name, item in value.items():
        if name not in items:
            raise NodeError((*path, str(name)), f"not a parameter of this space{did_you_mean(str(name), items)}")
        yield from _points(items[name], item, (*path, name), f"{at}.{name}" if at else str(name))


def _option(value: object, path: Path) -> tuple[str, object]:
    """Return the one option that is named, with its parameters."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping) or len(value) != 1:
        raise NodeError(path, "expected one option with its parameters, such as {mlp: {depth: 2}}")
    name, params = next(iter(value.items()))
    return str(name), {} if params is None else params


def value_at(node: Categorical | Range, value: object, path: Path) -> Scalar:
    """Return a value as the space has it: 1 for the real number 1.0, if that is what is searched."""
    if isinstance(node, Categorical):
        alike = [choice for choice in node.choices if choice == value and isinstance(choice, bool) == _is_bool(value)]
        if not alike:
            listed = ", ".join(map(_text, node.choices))
            raise NodeError(path, f"{_text(value)} is not one of {listed}{_meant(value, node)}")
        return alike[0]
    if not isinstance(value, int | float) or _is_bool(value):
        raise NodeError(path, f"expected a number from {node.low:g} to {node.high:g}, got {value!r}")
    inside = node.low <= value <= node.high
    number = (int(value) if node.integer and value == int(value) else value) if inside else value
    number = float(number) if inside and not node.integer else number
    if not inside or not contains(node, number):
        steps = f" in steps of {node.step:g}" if node.step else ""
        kind = "a whole number " if node.integer else ""
        hint = "" if inside else f"; the nearest is {min(max(value, node.low), node.high):g}"
        raise NodeError(path, f"{value!r} is not {kind}from {node.low:g} to {node.high:g}{steps}{hint}")
    return number


def _meant(value: object, node: Categorical) -> str:
    names = [choice for choice in node.choices if isinstance(choice, str)]
    hint = did_you_mean(str(value), names) if isinstance(value, str) and names else ""
    return hint if "mean" in hint else ""


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _text(value: object) -> str:
    """Return a value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def fitted(group: Group, candidate: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return what of another space's candidate is a part of this one, in the form of ``search.first``.

    With it come the dotted paths of what was taken over. What this space has not, or not with that value, is left out;
    of an option that it has not, everything.
    """
    kept: set[str] = set()
    return _fitted_members(group.items, candidate, "", kept), kept


def _fitted_members(items: Mapping[str, Node], value: object, at: str, kept: set[str]) -> dict[str, Any]:
    values = value if isinstance(value, Mapping) else {}
    found = (
        (name, _fitted(items[name], values[name], f"{at}.{name}" if at else name, kept))
        for name in items
        if name in values
    )
    return {name: part for name, parts in found for part in parts}


def _fitted(node: Node, value: object, at: str, kept: set[str]) -> Iterator[Any]:
    """Yield the value of a node as this space has it, if it has it."""
    match node:
        case Group(items):
            yield _fitted_members(items, value, at, kept)
        case Choice(options):
            with suppress(NodeError):
                name, params = _option(value, ())
                if name in options:
                    kept.add(at)
                    yield {name: _fitted_members(options[name].items, params, f"{at}.{name}", kept)}
        case Fixed(only):
            if value == only and _is_bool(value) == _is_bool(only):
                kept.add(at)
        case Categorical() | Range():
            with suppress(NodeError):
                taken = value_at(node, value, ())
                kept.add(at)
                yield taken
