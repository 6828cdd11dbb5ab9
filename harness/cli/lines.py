"""A search in a log or a pipe: one line for each trial that has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.text import Text

from harness.cli.console import printable
from harness.records import Outcome, TrialRecord
from harness.spec import Spec
from harness.study import Objective, Observer


class Lines(Observer):
    """One line per finished trial, for logs and pipes."""

    def __init__(self, console: Console, spec: Spec) -> None:
        self._console = console
        self._trials, self._epochs = spec.total, spec.budget.epochs
        self._limit_s = spec.budget.time if spec.budget.time is not None else float("inf")
        self._first: Objective | None = None
        self._best = float("nan")
        """Value of the best trial so far, in the first objective."""
        self._started = time.monotonic()
        self._done = 0
        self._begun = 0
        """Trials of the run that were begun, earlier parts of it included."""
        self._running: set[int] = set()
        self._programs: Counter[tuple[float, int]] = Counter()
        """Trials that have ended, by the program that they were trained in: when it began, and with how many others."""
        self._spec = spec

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run_started(self, run: Path, notes: Sequence[str], first: Objective, best: TrialRecord | None) -> None:
        """Print where the results go, and what was noticed of the data; remember what to compare trials by."""
        self._first = first
        self._best = best.values[0] if best else self._best
        self._console.print(Text(f"run folder: {run}"))
        for note in notes:
            self._console.print(Text(f"note: {note}"))

    def trial_started(self, number: int, _params: Mapping[str, Any]) -> None:
        """Count it."""
        self._begun = max(self._begun, number + 1)
        self._running.add(number)

    def trial_ended(self, record: TrialRecord) -> None:
        """Print how the trial ended, and how long the rest may take."""
        self._running.discard(record.trial)
        if record.outcome is Outcome.INTERRUPTED:  # it has not ended for good, and what is left is not known
            self._console.print(Text(self.describe(record)))
            return
        elapsed_s = time.monotonic() - self._started
        self._done += 1
        left, near = self._trials - self.ended, self._near(record)
        left_s = min((left - near) * elapsed_s / (self._done + near), max(0.0, self._limit_s - elapsed_s))
        self._console.print(Text(f"{self.describe(record)}  [at most {left} left, about {duration(left_s)}]"))

    def _near(self, record: TrialRecord) -> int:
        """Return how many trials are under way in the program of one that has ended: their time is spent, too."""
        program = record.started_unix_s, record.shared_with
        self._programs[program] += 1
        return min(max(0, record.shared_with + 1 - self._programs[program]), len(self._running))

    @property
    def ended(self) -> int:
        """Trials of the run that have ended."""
        return self._begun - len(self._running)

    def final_started(self, how: str, epochs: int, why: str) -> None:
        """Print what happens to the winner."""
        self._console.print(Text(_final(how, epochs, why, tested=self._spec.task.split.test > 0.0)))

    def describe(self, record: TrialRecord) -> str:
        """Return one line on a trial, and remember the best value."""
        name = next(iter(record.candidate["architecture"]))
        text = f"trial {record.trial:>3}  {name:<8} {record.outcome:<11}"
        if record.outcome is not Outcome.COMPLETE:
            return f"{text} {printable(record.reason)}"
        assert self._first is not None
        value = record.values[0]
        best = value == value and self._first.better(value, self._best)
        self._best = value if best else self._best
        shortened = record.plan is not None and record.plan.most_epochs
        more = f", {record.reason}" if shortened else ""
        return f"{text} {self._first.metric} {value:.4f}{' (best)' if best else ''}  {record.seconds:.1f} s{more}"


_FINAL = {
    "rehearse": "retraining the selected trial on the training data alone, to estimate how a refit does",
    "refit": "refitting the selected trial on training and validation data",
    "ensemble": "refitting it with several seeds on training and validation data",
    "full": "training the winner on all samples, those of the test part too",
    "keep": "keeping the selected trial's weights",
    "trials": "averaging the best trials, with the weights that the search left",
}
_THEN = ", then one evaluation on the test data"


def _final(how: str, epochs: int, why: str, *, tested: bool) -> str:
    then = _THEN if tested and how not in ("rehearse", "full") else ""
    length = f" ({epochs} epochs)" if epochs else ""
    return f"{_FINAL[how]}{then}{length}{': ' if why else ''}{why}"


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
