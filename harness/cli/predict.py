"""``harness predict``."""

from __future__ import annotations

import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import completion, options
from harness.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from harness.prediction import Predicted
    from harness.study import Predictor

EVERY_S = 10.0
"""Where stderr is no terminal, there is a line on the progress as often."""


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", autocompletion=completion.search_runs)],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A CSV, JSON-lines, Parquet or NPZ file, or a folder of images or text files."
        ),
    ],
    model: options.Model = "best",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV or Parquet file to write.", show_default="CSV on standard output"),
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Add the probability of each class.")] = False,
    intervals: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Add intervals that hold this share of values, such as 0.9.")
    ] = None,
    device: options.Device = "auto",
    trust: options.Trust = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that --out names.")] = False,
    json: options.Json = False,
) -> None:
    """Predict new samples with a model of a run, prepared as those of its training were."""
    if json and out is None:
        raise InputError("--json: prints a summary where the predictions would be; name a file for them by --out")
    options.prepare(trust=trust)
    from harness.cli.console import print_json
    from harness.prediction import predict_file

    predictor = _loaded(run, model, device=device, trust=trust)
    with _progress(bar=out is not None) as progress:
        found = predict_file(predictor, data, out, proba=proba, coverage=intervals, force=force, progress=progress.told)
    _say(found)
    if out is not None and not json:
        print(out)
    if json:
        print_json({"out": str(out), "rows": found.rows, "seconds": found.seconds, **found.unusual.as_dict()})


def _loaded(run: Path, model: str, *, device: str, trust: bool) -> Predictor:
    from harness.study import Predictor

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        predictor = Predictor(run, model=model, device=device, trust=trust)
    for warning in told:
        _print(str(warning.message))
    return predictor


def _say(found: Predicted) -> None:
    for note in found.notes:
        _print(note)
    speed = f", {found.rows / found.seconds:,.0f} a second" if found.rows else ""
    _print(f"{found.rows:,} {'row' if found.rows == 1 else 'rows'} predicted in {found.seconds:,.1f} s{speed}")


def _print(text: str) -> None:
    from harness.cli.console import printable

    print(f"harness: {printable(text)}", file=sys.stderr)


class _Lines:
    """A line every ``EVERY_S`` seconds."""

    def __init__(self) -> None:
        self._started = self._said = time.monotonic()

    def told(self, done: int, share: float) -> None:
        """Say how many rows are predicted, and how long the rest may take."""
        from harness.cli.lines import duration

        now = time.monotonic()
        if now - self._said >= EVERY_S and 0.0 < share < 1.0:
            self._said = now
            left = duration((now - self._started) * (1.0 / share - 1.0))
            _print(f"{done:,} rows predicted, {share:.0%}; about {left} left")


class _Bar:
    """A bar on a terminal."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("predicting", total=1.0)

    def told(self, done: int, share: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=share, description=f"{done:,} rows predicted")


@contextmanager
def _progress(*, bar: bool) -> Iterator[_Lines | _Bar]:
    """Yield what shows the progress; no ``bar`` where the predictions themselves go to the terminal."""
    from rich.progress import Progress

    from harness.cli.console import err

    console = err()
    if not bar or not console.is_terminal:
        yield _Lines()
        return
    with Progress(console=console, transient=True) as shown:
        yield _Bar(shown)
