"""A search on a terminal: a live table of its trials, and above it a line for each that has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from harness.cli.console import cell
from harness.cli.lines import Lines, duration
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import Spec, candidate_at
from harness.study import Objective

BEST = 5
"""Complete trials that stay in the table."""
BELOW = 6
"""Lines of a terminal that are kept free of trials: the head of the table, the bar, and a few of what was printed."""


@dataclass(slots=True)
class Row:
    """What the table shows of a trial."""

    trial: int
    architecture: str
    epochs: int
    """How many it has."""
    epoch: int = 0
    value: float = float("nan")
    started: float = field(default_factory=time.monotonic)
    seconds: float | None = None
    """What it took in all; None while it is trained."""


class LiveTable(Lines):
    """The trials under way and the best ones, and a bar over all of them."""

    def __init__(self, console: Console, spec: Spec) -> None:
        super().__init__(console, spec)
        self._rows: dict[int, Row] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}"),
            console=console,
        )
        self._task = self._bar.add_task("trials", total=self._trials, now="")
        self._live = Live(get_renderable=self._view, console=console, transient=True)
        self._trained = 0
        """Epochs of the step to the final model that is under way."""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def run_started(self, run: Path, notes: Any, first: Objective, best: TrialRecord | None) -> None:
        """Show the best trial of the run's earlier parts."""
        super().run_started(run, notes, first, best)
        if best is not None:
            self._rows[best.trial] = _ended(best)

    def trial_started(self, number: int, params: Mapping[str, Any]) -> None:
        """Add its row, and move the bar to where a resumed search stands."""
        super().trial_started(number, params)
        candidate = candidate_at(self._spec, params)
        self._rows[number] = Row(number, candidate.architecture.name, candidate.training.epochs or self._epochs)
        self._bar.update(self._task, completed=self.ended)

    def epoch_ended(self, epoch: EpochRecord) -> None:
        """Show the epoch and its value."""
        if not epoch.validation:
            self._trained += 1
            self._bar.update(self._task, now=f"final model: epoch {self._trained}/{self._epochs}")
        elif epoch.trial in self._rows and self._first is not None:
            row = self._rows[epoch.trial]
            row.epoch, row.value = epoch.epoch, epoch.validation.get(self._first.metric, float("nan"))

    def trial_ended(self, record: TrialRecord) -> None:
        """Print its line above the table; keep its row if it is one of the best."""
        self._running.discard(record.trial)
        self._rows.pop(record.trial, None)
        if record.outcome is Outcome.COMPLETE:
            self._rows[record.trial] = _ended(record)
            for row in self._best_rows()[BEST:]:
                del self._rows[row.trial]
        self._bar.update(self._task, completed=self.ended)
        self._console.print(Text(self.describe(record)))

    def final_started(self, how: str, epochs: int, why: str) -> None:
        """Say what happens to the winner, and count its epochs."""
        super().final_started(how, epochs, why)
        self._epochs, self._trained = epochs, 0

    def _best_rows(self) -> list[Row]:
        """Return the rows of complete trials, the best value first."""
        ended = [row for row in list(self._rows.values()) if row.seconds is not None]
        down = self._first is not None and self._first.maximize
        return sorted(ended, key=lambda row: (row.value != row.value, -row.value if down else row.value))

    def _view(self) -> RenderableType:
        running = [row for row in list(self._rows.values()) if row.seconds is None]
        rows = [*self._best_rows(), *running]
        room = max(self._console.height - BELOW, 1)
        return Group(self._table(rows[-room:]), self._bar) if rows else self._bar

    def _table(self, rows: list[Row]) -> Table:
        metric = self._first.metric if self._first else ""
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for name in ("trial", "architecture", "epoch", metric, "time"):
            table.add_column(name, justify="left" if name == "architecture" else "right", no_wrap=True)
        for row in rows:
            seconds = time.monotonic() - row.started if row.seconds is None else row.seconds
            epoch = f"{row.epoch}/{row.epochs}"
            cells = (str(row.trial), row.architecture, epoch, cell(row.value), duration(seconds))
            table.add_row(*cells, style="dim" if row.seconds is not None else "")
        return table


def _ended(record: TrialRecord) -> Row:
    name = next(iter(record.candidate["architecture"]))
    value = record.values[0] if record.values else float("nan")
    return Row(record.trial, name, record.epochs, record.epochs, value, seconds=record.seconds)
