"""Progress of a benchmark on stderr: a bar with an estimate on a terminal, a line per turn elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.bench.rows import Row
from harness.bench.suite import BenchObserver
from harness.cli.console import err
from harness.cli.lines import duration


def make_display() -> Lines:
    """Return the display that fits stderr."""
    console = err()
    return Bars(console) if console.is_terminal else Lines(console)


class Lines(BenchObserver):
    """One line per turn of a group, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.folder: Path | None = None
        self.rows = 0
        """Rows measured so far."""
        self._before = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def suite_started(self, folder: Path, turns: int, left_s: float) -> None:
        """Print where the results go, and how long it will take."""
        self.folder = folder
        self._console.print(Text(f"run folder: {folder}"))
        self._console.print(Text(f"{turns} turns, about {duration(left_s)}"))

    def group_started(self, _name: str, _left_s: float) -> None:
        """Remember how many rows came before."""
        self._before = self.rows

    def row_measured(self, _row: Row, _left_s: float) -> None:
        """Count it."""
        self.rows += 1

    def group_ended(self, name: str, left_s: float) -> None:
        """Print what is done, and how long the rest may take."""
        text = f"{name:<32} {self.rows - self._before:>3} rows  [about {duration(left_s)} left]"
        self._console.print(Text(text))


class _Left(ProgressColumn):
    """What remains until the estimated end, which goes on while a group is measured."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        return Text(f"left {duration(max(task.fields['end_s'] - time.monotonic(), 0.0))}")


class Bars(Lines):
    """A bar over the turns with the row that was measured last and what remains."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _Left(),
            TextColumn("{task.fields[now]}"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("benchmarks", total=None, now="", end_s=0.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def suite_started(self, folder: Path, turns: int, left_s: float) -> None:
        """Show how many turns there are."""
        super().suite_started(folder, turns, left_s)
        self._progress.update(self._task, total=turns, end_s=time.monotonic() + left_s)

    def group_started(self, name: str, left_s: float) -> None:
        """Show which group begins."""
        super().group_started(name, left_s)
        self._progress.update(self._task, now=name, end_s=time.monotonic() + left_s)

    def row_measured(self, row: Row, left_s: float) -> None:
        """Show the row."""
        super().row_measured(row, left_s)
        self._progress.update(self._task, now=row.case.label, end_s=time.monotonic() + left_s)

    def group_ended(self, name: str, left_s: float) -> None:
        """Move the bar."""
        super().group_ended(name, left_s)
        self._progress.advance(self._task)
