"""Points of a space that stand for the rest: its middle, some by chance, and the ends of one parameter at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from harness.spec import Candidate, Categorical, Choice, Fixed, Group, Node, Range, Spec, candidate_at, corner_values
from harness.spec.candidate import CHOICES
from harness.spec.parameters import Scalar, parameters

Point = dict[str, Scalar]


def middle_candidate(spec: Spec, architecture: str) -> Candidate:
    """Return the candidate of an architecture in the middle of every range."""
    return candidate_at(spec, middle(spec.group, chosen={"architecture": architecture}))


def drawn_candidate(spec: Spec, architecture: str, rng: random.Random) -> Candidate:
    """Return a candidate of an architecture with all else drawn evenly, on a log scale where the space says so."""
    return candidate_at(spec, _point(spec.group, rng.random, chosen={"architecture": architecture}, first=False))


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
    return _point(node, lambda: 0.5, path, chosen, first=True)


def _point(
    node: Node, share: Callable[[], float], path: str = "", chosen: Mapping[str, Scalar] = {}, *, first: bool
) -> Point:
    """Return a value for every parameter, each as far into its range or list as ``share`` says, from 0 to below 1.

    Of options the one in ``chosen`` is taken, else the ``first``, or one by its share.
    """
    match node:
        case Fixed():
            return {}
        case Range():
            return {path: _at(node, share())}
        case Categorical(choices):
            return {path: choices[int(share() * len(choices))]}
        case Group(items):
            parts = [
                _point(item, share, f"{path}.{name}" if path else name, chosen, first=first)
                for name, item in items.items()
            ]
            return {key: value for part in parts for key, value in part.items()}
        case Choice(options):
            names = list(options)
            name = str(chosen.get(path, names[0 if first else int(share() * len(names))]))
            return {path: name} | _point(options[name], share, f"{path}.{name}", chosen, first=first)


def _at(node: Range, share: float) -> float:
    """Return the value of a range that so much of it lies below."""
    value = node.low * (node.high / node.low) ** share if node.log else node.low + (node.high - node.low) * share
    if node.step:
        value = node.low + round((value - node.low) / node.step) * node.step
    return round(value) if node.integer else value
