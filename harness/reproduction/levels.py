"""How far something was reproduced, and the checks that show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.text import plain


class Level(StrEnum):
    """How far a trial was reproduced, the best first.

    >>> Level.EXACT.exit_code, max([Level.EXACT, Level.MISMATCH], key=list(Level).index)
    (0, <Level.MISMATCH: 'mismatch'>)
    """

    EXACT = "exact"
    """Everything is equal, bit for bit."""
    TOLERANCE = "within tolerance"
    """Every metric is as near as its resolution tells apart."""
    STATISTICAL = "statistical"
    """The recorded value is one that new seeds might give."""
    UNFINISHED = "unfinished"
    """It was asked to stop, or its time was used up, before everything was compared."""
    ENVIRONMENT = "environment not available"
    """What the run needs is not here."""
    MISMATCH = "mismatch"
    """Something differs."""

    @property
    def exit_code(self) -> int:
        """What ``harness reproduce`` ends with."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Level.EXACT: 0,
    Level.TOLERANCE: 10,
    Level.STATISTICAL: 11,
    Level.MISMATCH: 12,
    Level.ENVIRONMENT: 13,
    Level.UNFINISHED: 3,
}


def worst(levels: Iterable[Level]) -> Level:
    """Return the last of the levels in the order of :class:`Level`."""
    return max(levels, key=list(Level).index)


class Unavailable(Exception):
    """What a run needs is not here; the message says what it is and what to do."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something as the run has it, and as it was found."""

    what: str
    recorded: Any
    found: Any
    equal: bool
    tolerance: float | None = None
    """Of a metric, how far apart both may be to count as within tolerance."""

    @classmethod
    def of(cls, what: str, recorded: Any, found: Any) -> Check:
        """Return the check that both are equal; two that are missing are."""
        return cls(what, recorded, found, same(recorded, found))

    @property
    def close(self) -> bool:
        """Whether both are equal or within tolerance."""
        return self.equal or (self.tolerance is not None and abs(self.found - self.recorded) <= self.tolerance)

    def __str__(self) -> str:
        return f"{self.what}: recorded {_said(self.recorded)}, found {_said(self.found)}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        told = {"what": self.what, "recorded": self.recorded, "found": self.found, "equal": self.equal}
        return told if self.equal or self.tolerance is None else {**told, "tolerance": self.tolerance}


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal to the bit; NaN, and what is missing, equals itself."""
    return bool(plain(one) == plain(other))


def _said(value: Any) -> str:
    text = "nothing" if value is None else repr(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass(frozen=True, slots=True)
class Reproduced:
    """How far one trial was reproduced."""

    trial: int
    level: Level
    checks: Sequence[Check]

    @property
    def differs(self) -> str:
        """What differs first; ``""`` where nothing does."""
        return next((str(check) for check in self.checks if not check.equal), "")

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        checks = [check.as_dict() for check in self.checks]
        return {"trial": self.trial, "level": str(self.level), "checks": checks}


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How far a run was reproduced.

    >>> made = Reproduction(Path("results/a"), (Reproduced(3, Level.EXACT, ()), Reproduced(4, Level.TOLERANCE, ())))
    >>> made
    <Reproduction within tolerance: 1 trial exact, 1 trial within tolerance; results/a>
    >>> made.exit_code
    10
    """

    run: Path
    """What was reproduced."""
    trials: Sequence[Reproduced] = ()
    """Of each trial that was to be trained again."""
    checks: Sequence[Check] = ()
    """Of the whole run: its files, its data, the split of its samples."""
    environment: Sequence[Mapping[str, Any]] = ()
    """What is other here than where the run was made; it may explain why the level is not ``exact``."""
    missing: str = ""
    """What the run needs and is not here."""
    notes: Sequence[str] = ()
    """What was not compared, and why."""
    runs: Sequence[Path] = ()
    """The folders of the trainings, each with its report."""
    signal: int = 0
    """The signal that ended it early, 0 for none."""

    @property
    def level(self) -> Level:
        """The worst of all."""
        if self.missing:
            return Level.ENVIRONMENT
        if not all(check.equal for check in self.checks):
            return Level.MISMATCH
        return worst(each.level for each in self.trials) if self.trials else Level.UNFINISHED

    @property
    def exit_code(self) -> int:
        """What ``harness reproduce`` ends with."""
        return self.level.exit_code

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, as ``harness reproduce --json`` prints it."""
        return {
            "run": str(self.run),
            "level": str(self.level),
            "exit_code": self.exit_code,
            "checks": [check.as_dict() for check in self.checks],
            "trials": [each.as_dict() for each in self.trials],
            "environment": [dict(row) for row in self.environment],
            "missing": self.missing or None,
            "notes": list(self.notes),
            "runs": [str(path) for path in self.runs],
        }

    def __repr__(self) -> str:
        counts = {level: sum(each.level is level for each in self.trials) for level in Level}
        told = [f"{count} trial{'s' if count > 1 else ''} {level}" for level, count in counts.items() if count]
        return f"<{type(self).__name__} {self.level}: {', '.join(told) or 'nothing was trained'}; {self.run}>"
