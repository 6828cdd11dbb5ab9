"""The smallest space that holds given candidates: what frozen winners are trained in, side by side in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.spec import CHOICES, Group, Spec
from harness.spec.first import point_of
from harness.spec.parameters import Node, Path, Scalar, parse_choice, parse_group, parse_node
from harness.spec.training import NESTED, OF_THE_WINNER


def spanned(spec: Spec, candidates: Sequence[Mapping[str, Any]]) -> tuple[Spec, list[dict[str, Scalar]]]:
    """Return the spec with the space that candidates span, and each of them as a point of it.

    A candidate has the form of a space in which everything is fixed, as records have it. What all of them share is
    fixed; where they differ the space lists their values.
    """
    kept = [{key: value for key, value in each.items() if key not in OF_THE_WINNER} for each in candidates]
    joined = _joined(kept)
    space = Group({key: _parsed(key, value, ("space", key)) for key, value in joined.items()})
    points = [point_of(space, candidate) for candidate in kept]
    search = spec.search.model_copy(update={"first": ()})
    return spec.model_copy(update={"space": space, "search": search}), points


def _parsed(key: str, value: Any, path: Path) -> Node:
    if key in CHOICES:
        return parse_choice(value, path)
    return parse_group(value, path) if key in NESTED else parse_node(value, path)


def _joined(values: Sequence[Any]) -> Any:
    """Return what a space says of these values: one where they agree, a list where not, options beside each other."""
    if any(isinstance(value, Mapping) for value in values):
        # An option without parameters may be its name alone.
        options = [value if isinstance(value, Mapping) else {value: {}} for value in values]
        names = dict.fromkeys(name for option in options for name in option)
        return {name: _joined([option[name] for option in options if name in option]) for name in names}
    different: list[Any] = []
    for value in values:
        if not any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in different):
            different.append(value)
    return different if len(different) > 1 else different[0]
