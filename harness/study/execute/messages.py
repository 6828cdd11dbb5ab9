"""What the coordinator and whatever trains for it say to each other, beside assignments, reports and evaluations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Open:
    """What a worker is to open its workshop with, which is there to be loaded now."""

    threads: int
    device: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker waits for its first assignment."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint to keep."""

    trial: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a report of a trial that is judged."""

    reason: str
    """Why to give the trial up; empty: go on."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """What the worker does now should end soon."""

    reason: str
