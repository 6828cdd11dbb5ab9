"""What a tracker does with what it is told; its methods are called by one thread, one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.records import Outcome, TrialRecord
from harness.tracking.told import About, Row


class Tracker(ABC):
    """Where a search is told to.

    A method that raises one of ``failures`` is called again with the same later, until it does not: what it had done
    before that it may do twice.
    """

    failures: tuple[type[Exception], ...] = (OSError,)
    settings: ClassVar[Mapping[str, str]] = {}
    """Environment variables that hold meanwhile unless they are set."""

    def __init__(self, where: str) -> None:
        """``where`` is as it was asked for, or empty. Raises :class:`HardwareError` where its package is missing."""
        self.where = where

    def refuses(self, error: Exception) -> bool:
        """Tell whether a failure would come again: what led to it is not sent any more."""
        del error
        return False

    @abstractmethod
    def begin(self, about: About) -> None:
        """Learn of a run that begins, or goes on."""

    @abstractmethod
    def open(self, name: str, params: Mapping[str, Any], time_unix_s: float) -> None:
        """Learn that a trial begins, or goes on; or the trainings of the final model, under the name FINAL."""

    @abstractmethod
    def rows(self, name: str, rows: Sequence[Row]) -> None:
        """Take down what was measured of a trial that was opened."""

    @abstractmethod
    def end(self, name: str, record: TrialRecord | None, row: Row, tags: Mapping[str, str]) -> None:
        """Learn how a trial, or a stretch of it, ended; of the final model there is no record."""

    @abstractmethod
    def finish(self, state: str, row: Row, tags: Mapping[str, str], files: Sequence[Path]) -> None:
        """Learn how the run ended: ``complete``, ``interrupted`` or ``failed``."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held; nothing comes after it."""


FINAL = "final"
"""What the trainings of the final model are called; trials are called ``trial-000012``."""

FAILED = (Outcome.CRASHED, Outcome.DIVERGED, Outcome.OOM, Outcome.TIMEOUT)
"""Outcomes of a trial that did not come to its end as it should."""


def name_of(trial: int) -> str:
    """Return what a trial is called."""
    return f"trial-{trial:06d}"
