"""Every group of the suite, in the order of its running, with the share of the time that it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from harness.bench.workload import Level, groups

WEIGHTS: Mapping[str, float] = {
    "matmul": 4.0,
    "threads": 1.5,
    "conv3x3": 1.5,
    "attention": 1.0,
    "lstm_cell": 1.0,
    "copy": 1.0,
    "triad": 1.0,
    "reduction": 1.0,
    "host_to_device": 0.5,
    "launch": 0.5,
    "graph_replay": 0.5,
    "fetch": 2.0,
    "train_step": 6.0,
    "inference": 4.0,
    "largest_batch": 2.0,
}
"""Others come last, with a weight of 1."""

ROUNDS: Mapping[Level, int] = {"quick": 2, "standard": 5, "full": 8}
"""How often a suite goes through all groups: what holds for seconds or minutes should not hold for all of a row."""
ONCE = frozenset({"largest_batch"})
"""Groups that tell no times, and have their time in one go."""


def turns(names: Sequence[str], rounds: int) -> list[tuple[int, str]]:
    """Return the round and the group of every turn, in their order."""
    return [(number, name) for number in range(rounds) for name in names if number == 0 or name not in ONCE]


def load_groups() -> None:
    """Fill the registry of groups."""
    import_module("harness.bench.micro")
    import_module("harness.bench.macro")


def in_order(names: Sequence[str]) -> list[str]:
    """Return the names in the order of their running, each once. An unknown one raises :class:`InputError`."""
    for name in names:
        groups[name]
    known = [*WEIGHTS, *(name for name in groups if name not in WEIGHTS)]
    return [name for name in known if name in set(names)]


def weight(name: str) -> float:
    """Return the weight of a group."""
    return WEIGHTS.get(name, 1.0)
