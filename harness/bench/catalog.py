"""Every group of the suite, in the order of its running, with the share of the time that it gets.

The groups are named without loading them, so that a command line is checked and completed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from harness.bench.workload import Level, groups


class Entry(NamedTuple):
    """What is known of a group without loading it."""

    summary: str
    """What it measures, in words."""
    weight: float
    """Its share of the time, among those of the others."""


CATALOG: Mapping[str, Entry] = {
    "matmul": Entry("matrix products over sizes and precisions", 4.0),
    "threads": Entry("a matrix product over the number of CPU threads", 1.5),
    "conv3x3": Entry("3x3 convolutions in both memory layouts", 1.5),
    "attention": Entry("scaled dot-product attention", 1.0),
    "lstm_cell": Entry("one step of an LSTM cell", 1.0),
    "copy": Entry("copying in memory, beyond the cache and in it", 1.0),
    "triad": Entry("a + s * b in memory, beyond the cache and in it", 1.0),
    "reduction": Entry("the sum of an array", 1.0),
    "host_to_device": Entry("copies from the host to the device, pinned and not", 0.5),
    "launch": Entry("overhead of launching the smallest kernel", 0.5),
    "graph_replay": Entry("overhead of replaying it as a CUDA graph", 0.5),
    "fetch": Entry("fetching batches to the device: resident, with a DataLoader, with workers", 2.0),
    "train_step": Entry("training steps of the reference models", 6.0),
    "inference": Entry("inference of the reference models", 4.0),
    "largest_batch": Entry("the largest batch of each reference model that fits in memory", 2.0),
}
"""In the order of their running; others come last, with a weight of 1."""

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
    known = [*CATALOG, *(name for name in groups if name not in CATALOG)]
    return [name for name in known if name in set(names)]


def weight(name: str) -> float:
    """Return the weight of a group."""
    return CATALOG[name].weight if name in CATALOG else 1.0
