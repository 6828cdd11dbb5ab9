"""What the coordinator and whatever trains for it say to each other, beside assignments, reports and evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.study.contract import Report


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker waits for its first assignment."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint to keep."""

    trial: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Reports:
    """Epochs have ended: one, or one of each trial that a program trains."""

    reports: tuple[Report, ...]
    judged: bool
    """Whether the trainer waits for the answer."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The answer to reports of trials that are judged."""

    reasons: list[str]
    """Why to give each of the trials up; empty: it goes on."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """What the worker does now should end soon."""

    reason: str
