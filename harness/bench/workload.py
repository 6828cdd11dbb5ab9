"""What a group of benchmarks offers to be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.bench.rows import Case, Row
from harness.records import NAN
from harness.registry import Registry

if TYPE_CHECKING:
    import torch

Level = Literal["quick", "standard", "full"]


class Idle(NamedTuple):
    """What the device draws and does before a suite works on it; NaN where nothing tells."""

    power_w: float = NAN
    busy_percent: float = NAN


UNWATCHED = Idle()


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how thoroughly a group is measured."""

    device: torch.device
    level: Level
    threads: int
    """CPU threads that torch may use."""
    seconds: float
    """What the group may take."""
    memory_mib: float
    """Free memory of the device."""
    seed: int = 0
    round: int = 0
    rounds: int = 1
    """How many times the group has its turn, and which time this is, counted from 0."""
    idle: Idle = UNWATCHED


@dataclass(frozen=True, slots=True)
class Workload:
    """One case that can be timed. Whatever ``prepare`` allocates is freed before the next one is prepared."""

    case: Case
    prepare: Callable[[], Callable[[], object]]
    """Makes the data (random, never zeros) and returns one call of the work."""
    samples: int = 0
    flops: float = NAN
    flops_source: str = ""
    bytes_moved: float = NAN
    """Compulsory traffic of one call: inputs and weights read once, results written once."""
    macro: bool = False
    """Whether half a width of 2 % ends the measuring, instead of 1 %."""
    note: str = ""
    flush: bool = True
    """Whether each call of a micro-benchmark on CUDA finds the L2 cache without its data."""
    host: bool = False
    """Whether it is work of the CPU, whatever the device is."""
    energy: bool = False
    """Whether a micro-benchmark's energy is measured as well; a macro-benchmark's always is, where there is time."""


Group = Callable[[Setting], Iterator[Workload | Row]]
"""Yields workloads to be measured, or rows that are known without, or were measured in a way of their own."""

groups: Registry[Group] = Registry("benchmark")
"""By name; each is run in a process of its own."""
