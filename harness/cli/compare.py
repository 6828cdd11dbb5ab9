"""``harness compare``."""

from __future__ import annotations

import sys
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli import completion, options
from harness.cli.early import check_executor, check_search, say_what_is_missing, worker_count
from harness.errors import InputError
from harness.tracking import check_track

if TYPE_CHECKING:
    from harness.report.compare_result import ComparisonResult


def compare(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPACE|RUN...",
            help="A space, whose architectures are compared; or the folders of several searches.",
            autocompletion=completion.spaces,
        ),
    ] = None,
    families: Annotated[
        str | None, typer.Option(metavar="A,B", help="The architectures of the space to compare; by default all.")
    ] = None,
    seeds: Annotated[
        str, typer.Option(metavar="N|auto", help="Seeds for each winner; auto looks at 7, 10 and 20, and stops early.")
    ] = "auto",
    time: Annotated[str | None, typer.Option(help="Time for everything, such as 30m; half of it for searches.")] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Differences within it count as none; in points (0.5) for shares such as accuracy."),
    ] = None,
    reopen_test: Annotated[
        bool, typer.Option("--reopen-test", help="Score anew on test samples that were opened; the report says so.")
    ] = False,
    trials: options.Trials = None,
    sampler: options.Sampler = None,
    pruner: options.Pruner = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    seed: options.Seed = None,
    set_: options.Set = None,
    workers: options.Workers = "auto",
    deterministic: options.Deterministic = None,
    trial_timeout: options.TrialTimeout = None,
    retries: options.Retries = None,
    executor: options.Executor = "local",
    address: options.Address = None,
    out: options.Out = Path("results"),
    resume: Annotated[Path | None, typer.Option(help="Go on with this comparison's folder.")] = None,
    track: options.Track = None,
    trust: options.Trust = False,
    json: options.Json = False,
) -> None:
    """Compare architectures: each searched with one budget, their winners trained under the same seeds."""
    given = locals()
    started_s = clock.monotonic()
    options.prepare(trust=trust)
    overrides, processes = options.overrides(given), worker_count(workers)
    check_executor(executor)
    check_track(track or ())
    space = _space(what or [], resume)
    if isinstance(space, str):
        check_search(space, None, overrides, device=device)
    say_what_is_missing()
    from harness.cli.stages import Stages
    from harness.comparison import compare as run_comparison

    result = run_comparison(
        space,
        families=families.split(",") if families is not None else None,
        seeds=_seeds(seeds),
        margin=margin,
        time_s=options.seconds(time, "--time") if time is not None else None,
        reopen_test=reopen_test,
        resume=resume,
        watch=Stages(),
        overrides=overrides,
        device=device,
        out=out,
        workers=processes,
        executor=executor,
        address=address,
        track=track or (),
        trust=trust,
        argv=sys.argv,
        started_s=started_s,
    )
    _show(result, json=json)
    if result.signal:
        raise typer.Exit(128 + result.signal)


def _space(what: list[str], resume: Path | None) -> str | list[str] | None:
    """Return the space that is named, or the runs."""
    if resume is not None:
        if what:
            raise InputError(f"--resume {resume}: has its space or runs in its folder; leave out {what[0]}")
        return None
    if not what:
        raise InputError("name a space, such as digits, or the folders of two runs; see `harness compare --help`")
    if len(what) == 1 and not (Path(what[0]) / "status.json").is_file():
        return what[0]
    return what


def _seeds(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if text.isdecimal() and int(text) >= 2:
        return int(text)
    raise InputError(f"--seeds {text}: a number from 2 on, or auto")


def _show(result: ComparisonResult, *, json: bool) -> None:
    from harness.cli.console import print_json, print_table

    if json:
        print_json(result.content)
        return
    print(result.verdict)
    if result.content:
        print_table(
            result.family_rows(),
            title="\nArchitectures, each trained with the same seeds and scored on the test samples",
        )
        print_table(
            result.pair_rows(),
            title="\nPairs: the difference is the first less the second, positive where the first is better",
        )
    if result.state == "interrupted":
        print(f"Interrupted; go on with: harness compare --resume {result.folder}")
    if result.content:
        print(f"Report: {result.report}")
