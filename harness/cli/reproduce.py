"""``harness reproduce``."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import completion, options
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.reproduction import Reproduction
    from harness.spec import Spec
    from harness.study import Observer


def reproduce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", autocompletion=completion.search_runs)],
    trial: Annotated[int | None, typer.Option(help="Train this trial again, in place of the winner.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Train each complete and each pruned trial again.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(help="Where a value lies beyond the tolerance, compare it with so many new seeds; 7 or more."),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Share of a loss that may differ.")] = 1e-3,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps or auto.", show_default="that of the run")
    ] = None,
    trust: options.Trust = False,
    out: options.Out = Path("results"),
    timeout: options.Timeout = None,
    json: options.Json = False,
) -> None:
    """Train a run's winner or trials again, and say how far they come to the same: exit code 0, 10, 11, 12 or 13."""
    started_s = time.monotonic()
    options.prepare(trust=trust)
    _check(run, trial, every=every, device=device)
    timeout_s = options.seconds(timeout, "--timeout") if timeout is not None else None
    import harness

    made = harness.reproduce(
        run,
        trial=trial,
        every_trial=every,
        seeds=seeds,
        tolerance=tolerance,
        device=device,
        trust=trust,
        out=out,
        timeout_s=timeout_s,
        display=_display,
        argv=sys.argv,
        started_s=started_s,
    )
    _show(made, json=json)
    raise typer.Exit(128 + made.signal if made.signal else made.exit_code)


def _check(run: Path, trial: int | None, *, every: bool, device: str | None) -> None:
    """Check what can be checked before torch is loaded. Raises :class:`InputError`."""
    from harness.hardware import check_device_name
    from harness.store import check_run

    if device is not None:
        check_device_name(device)
    if trial is not None and every:
        raise InputError(f"--trial {trial} and --all: name one of them")
    check_run(run)


def _display(spec: Spec, seconds: float) -> AbstractContextManager[Observer]:
    from harness.cli.lines import duration
    from harness.cli.progress import make_display

    count = f"{spec.total} trainings" if spec.total > 1 else "1 training"
    print(f"{count} that took {duration(seconds)} where recorded", file=sys.stderr)
    return make_display(spec)


def _show(made: Reproduction, *, json: bool) -> None:
    from harness.cli.console import err, print_json, print_table, printable

    if made.signal:
        left = f"; {made.runs[0]} holds what was trained and may be removed" if made.runs else ""
        err().print(printable(f"Interrupted: the same command begins anew{left}"), markup=False)
    if json:
        print_json(made.as_dict())
        return
    rows = [{"trial": each.trial, "level": str(each.level), "differs first": each.differs} for each in made.trials]
    if rows:
        print_table(rows, title=f"\nTrials of {made.run}, trained again")
    for check in made.checks:
        if not check.equal:
            print(printable(f"Differs: {check}"))
    if made.missing:
        print(printable(f"Not here: {made.missing}"))
    if made.environment:
        title = "\nOther here than where the run was made"
        print_table(list(made.environment), title=title if made.exit_code == 0 else f"{title}, which may explain it")
    for note in made.notes:
        print(printable(f"Note: {note}"))
    for folder in made.runs:
        print(f"Report: {folder / 'report.html'}")
    print(f"Level: {made.level}")
