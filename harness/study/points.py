"""Points of a space that stand for the rest: its middle, and the ends of one parameter at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from harness.spec import Candidate, Categorical, Choice, Fixed, Group, Node, Range, Spec, candidate_at, corner_values
from harness.spec.candidate import CHOICES
from harness.spec.parameters import Scalar, parameters

Point = dict[str, Scalar]


def middle_candidate(spec: Spec, architecture: str) -> Candidate:
    """Return the candidate of an architecture in the middle of every range."""
    return candidate_at(spec, middle(spec.group, chosen={"architecture": architecture}))


def variants(spec: Spec, architecture: str) -> Iterator[Candidate]:
    """Yield the middle candidate, then it again with each end of each training parameter, one at a time.

    Parameters of architectures, optimisers and schedules are left out: each is checked by its own kind.
    """
    base = middle(spec.group, chosen={"architecture": architecture})
    yield candidate_at(spec, base)
    for parameter in parameters(spec.group):
        if parameter.path in base and parameter.path.split(".")[0] not in CHOICES:
            for value in corner_values(parameter.node):
                yield candidate_at(spec, {**base, parameter.path: value})


def middle(node: Node, path: str = "", chosen: Mapping[str, Scalar] = {}) -> Point:
    """Return a value for every parameter: the middle of a range or list; the option in ``chosen``, or the first."""
    match node:
        case Fixed():
            return {}
        case Range():
            return {path: _middle_of(node)}
        case Categorical(choices):
            return {path: choices[len(choices) // 2]}
        case Group(items):
            parts = (middle(item, f"{path}.{name}" if path else name, chosen) for name, item in items.items())
            return {key: value for part in parts for key, value in part.items()}
        case Choice(options):
            name = str(chosen.get(path, next(iter(options))))
            return {path: name} | middle(options[name], f"{path}.{name}", chosen)


def _middle_of(node: Range) -> float:
    value = math.sqrt(node.low * node.high) if node.log else (node.low + node.high) / 2
    if node.step:
        value = node.low + round((value - node.low) / node.step) * node.step
    return round(value) if node.integer else value
