"""``harness train``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import completion, options
from harness.cli.early import check_executor, check_search, say_what_is_missing, worker_count
from harness.errors import InputError
from harness.tracking import check_track

if TYPE_CHECKING:
    from harness.api import SearchResult


def train(
    space: options.Space = None,
    params: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML or JSON file with the parameters of the candidate.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Train the winner of this run.", autocompletion=completion.search_runs
        ),
    ] = None,
    trial: Annotated[int | None, typer.Option(help="Train this trial of the run, as it was trained.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Train so many times, each with a split, weights and an order of its own.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Score on the test samples.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs at most, in place of the space's.")] = None,
    timeout: options.Timeout = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    seed: options.Seed = None,
    set_: options.Set = None,
    workers: options.Workers = "auto",
    executor: options.Executor = "local",
    address: options.Address = None,
    out: options.Out = Path("results"),
    resume: options.Resume = None,
    track: options.Track = None,
    trust: options.Trust = False,
    json: options.Json = False,
) -> None:
    """Train one candidate on this machine, and measure it as a search measures its trials."""
    given = {**locals(), "timeout": None}  # a training has a time of its own, and not its space's
    started_s = time.monotonic()
    options.prepare(trust=trust)
    overrides = [*options.overrides(given), *([f"budget.epochs={epochs}"] if epochs is not None else [])]
    processes = worker_count(workers)
    check_executor(executor)
    check_track(track or ())
    if space is None and run is None and resume is None:
        raise InputError(
            "name what to train: `harness train digits --params FILE`, or `harness train --from RUN`; "
            "see `harness train --help`"
        )
    check_search(space or (str(run / "space.yaml") if run else None), resume, overrides, device=device)
    say_what_is_missing()
    from harness.training import train_candidate

    result = train_candidate(
        space,
        params=params,
        run=run,
        trial=trial,
        seeds=seeds,
        test=test,
        timeout_s=options.seconds(timeout, "--timeout") if timeout is not None else None,
        resume=resume,
        started_s=started_s,
        overrides=overrides,
        device=device,
        out=out,
        workers=processes,
        executor=executor,
        address=address,
        track=track or (),
        trust=trust,
        argv=sys.argv,
    )
    _show(result, json=json)
    if result.signal:
        raise typer.Exit(128 + result.signal)


def _show(result: SearchResult, *, json: bool) -> None:
    from harness.cli.console import print_json, print_table

    replicates = result.stats.get("replicates")
    if json:
        best = result.best
        print_json(
            {
                "run": str(result.run),
                "state": result.state,
                "trials": result.stats["outcomes"],
                "params": best["params"] if best else None,
                "replicates": replicates,
                "test": result.test or None,
                "report": str(result.report),
            }
        )
        return
    if replicates is not None:
        print_table(_rows(replicates), title="\n" + _title(replicates))
    if result.state == "interrupted":
        print(f"Interrupted; go on with: harness train --resume {result.run}")
    print(f"Report: {result.report}")


def _title(replicates: Mapping[str, Any]) -> str:
    count = len(replicates["trials"])
    complete = max((spread["count"] for spread in replicates["validation"].values()), default=0)
    if count == 1:
        return "Trained once"
    return f"Trained with {count if complete == count else f'{complete} of {count}'} seeds, each on a split of its own"


def _rows(replicates: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each metric, with mean and standard deviation over the seeds where there are several."""
    from harness.report.wording import score

    several = len(replicates["trials"]) > 1
    rows = []
    for name in replicates["validation"]:
        row: dict[str, Any] = {"metric": name}
        for part in ("validation", "test"):
            if spread := replicates[part].get(name):
                row[part] = score(spread["mean"])
                if several:
                    row[f"sd, {part}"] = score(spread["sd"])
        rows.append(row)
    return rows
