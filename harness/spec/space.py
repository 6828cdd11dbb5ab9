"""``space:`` of a space file: every key, option and parameter exists, and each plain value fits its field."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import did_you_mean
from harness.registry import registered
from harness.spec.candidate import CHOICES
from harness.spec.explain import reason
from harness.spec.names import OPTIONS
from harness.spec.parameters import Group, Node, NodeError, Range, parse_choice, parse_group, parse_node
from harness.spec.reader import Document
from harness.spec.training import NESTED, OF_THE_WINNER, Training

SEARCHABLE = (*CHOICES, *(name for name in Training.model_fields if name not in OF_THE_WINNER))
"""Keys that ``space:`` may hold."""


def parse_space(document: Document) -> Group:
    """Return the parsed ``space:`` of a document. Raises :class:`SpecError` with the place of what is wrong."""
    value = document.data["space"]
    if not isinstance(value, dict):
        raise document.error(("space",), "expected a mapping with at least `architecture:`")
    fixed = document.data.get("training")
    nodes: dict[str, Node] = {}
    try:
        for key, item in value.items():
            path = ("space", key)
            if key not in SEARCHABLE:
                raise NodeError(path, f"unknown key{did_you_mean(str(key), SEARCHABLE)}")
            nodes[key] = _parse_key(key, item, path)
            _refuse_twice(fixed, key, nodes[key], path)
    except NodeError as error:
        raise document.error(error.path, str(error)) from None
    if "architecture" not in nodes:
        raise document.error(("space",), "the key `architecture:` is missing, such as `architecture: {mlp: {}}`")
    return Group(nodes)


def _refuse_twice(fixed: object, key: str, node: Node, path: tuple[str | int, ...]) -> None:
    """Refuse what `training:` fixes and `space:` varies; what has keys of its own may be fixed in part."""
    if not isinstance(fixed, dict) or key not in fixed:
        return
    if key in NESTED and isinstance(node, Group) and isinstance(fixed[key], dict):
        shared = [name for name in node.items if name in fixed[key]]
        if not shared:
            return
        path = (*path, shared[0])
    raise NodeError(path, "set in `training:` as well; keep one of them")


def _parse_key(key: str, value: object, path: tuple[str | int, ...]) -> Node:
    if key in CHOICES:
        choice = parse_choice(value, path)
        for name, option in choice.options.items():
            _check_option(key, name, option, path)
        return choice
    if key in NESTED:
        group = parse_group(value, path)
        for name, node in group.items.items():
            _check_values(NESTED[key], name, node, (*path, name))
        return group
    node = parse_node(value, path)
    _check_values(Training, key, node, path)
    return node


def _check_option(key: str, name: str, option: Group, path: tuple[str | int, ...]) -> None:
    """Refuse an option, or a parameter of it, that does not exist; a module of the user's own takes what it likes."""
    if key == "architecture" and "family" in option.items:
        return
    known = OPTIONS[key]
    if name not in known:
        if name in (others := registered(key)):
            return  # from a package that must be loaded to know its parameters: they are checked later
        raise NodeError((*path, name), f"unknown {key} {name!r}{did_you_mean(name, {*known, *others})}")
    for parameter in option.items:
        if parameter not in known[name]:
            raise NodeError((*path, name, parameter), f"unknown key{did_you_mean(parameter, known[name])}")


def _check_values(model: type[BaseModel], name: str, node: Node, path: tuple[str | int, ...]) -> None:
    """Try the ends of a range, or each value of a list, against the field that will take it."""
    if name not in model.model_fields:
        raise NodeError(path, f"unknown key{did_you_mean(name, model.model_fields)}")
    for value in corner_values(node, path):
        try:
            model.model_validate({name: value})
        except ValidationError as error:
            raise NodeError(path, f"{value!r}: {reason(error.errors()[0], model)}") from None


def corner_values(node: Node, path: tuple[str | int, ...] = ()) -> tuple[Any, ...]:
    """Return the values of a plain parameter that suffice to tell whether all are valid.

    Raises :class:`NodeError` for options and groups.
    """
    if isinstance(node, Range):
        return (int(node.low), int(node.high)) if node.integer else (node.low, node.high)
    if hasattr(node, "choices"):
        return tuple(node.choices)
    if hasattr(node, "value"):
        return (node.value,)
    raise NodeError(path, "takes a value, a list or a range, not options of its own")
