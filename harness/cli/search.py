"""``harness search``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from harness.cli import options
from harness.cli.early import check_executor, check_search, say_what_is_missing, worker_count
from harness.lazy import loading
from harness.tracking import check_track

if TYPE_CHECKING:
    from harness.api import SearchResult
    from harness.report.stats import Stats


def search(
    space: options.Space = None,
    trials: options.Trials = None,
    timeout: options.Timeout = None,
    sampler: options.Sampler = None,
    pruner: options.Pruner = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    seed: options.Seed = None,
    set_: options.Set = None,
    workers: options.Workers = "auto",
    deterministic: options.Deterministic = None,
    plan: options.Plan = None,
    plan_from: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Replay this run's measured layouts, precisions, batch sizes and threads."),
    ] = None,
    warm_start: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Try this earlier run's best candidates first; may be given again."),
    ] = None,
    trial_timeout: options.TrialTimeout = None,
    retries: options.Retries = None,
    storage: options.Storage = None,
    executor: options.Executor = "local",
    address: options.Address = None,
    out: options.Out = Path("results"),
    resume: options.Resume = None,
    track: options.Track = None,
    trust: options.Trust = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the space and an estimate of the cost only.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Search a space on this machine, and leave a reproducible report under results/."""
    given = locals()
    started_s = time.monotonic()  # the budget of time is for all that follows, the imports included
    options.prepare(trust=trust)
    overrides = options.overrides(given)
    processes = worker_count(workers)
    check_executor(executor)
    check_track(track or ())
    spec = check_search(space, resume, overrides, device=device)
    say_what_is_missing()
    if dry_run:
        here = processes if executor == "local" else 1  # what a cluster has is not known here
        asked = {"device": device, "workers": here, "plan_from": plan_from, "trust": trust}
        _dry_run(space, resume, overrides, json=json, **asked)
        return
    from harness.study.execute.early import begun

    with begun(processes if executor == "local" else 0, spec.budget.trials, baselines=spec.search.baselines):
        result = _run(
            space,
            overrides,
            device=device,
            out=out,
            resume=resume,
            workers=processes,
            executor=executor,
            address=address,
            storage=storage,
            plan_from=plan_from,
            warm_start=warm_start or (),
            track=track or (),
            trust=trust,
            started_s=started_s,
        )
    _show(result, json=json)
    if result.signal:
        raise typer.Exit(128 + result.signal)


def _run(space: str | None, overrides: list[str], **asked: Any) -> SearchResult:
    with loading():
        from harness.api import resolve_spec
        from harness.api import search as run_search
        from harness.cli.progress import make_display

    spec = resolve_spec(space, asked["resume"], overrides)
    with make_display(spec) as display:
        return run_search(space, overrides=overrides, observer=display, argv=sys.argv, **asked)


def _dry_run(
    space: str | None,
    resume: Path | None,
    overrides: list[str],
    *,
    json: bool,
    **asked: Any,
) -> None:
    """Show what would be searched and what it would cost; write nothing."""
    from harness.api import estimate_search, resolve_spec
    from harness.cli.console import print_json, print_table, printable
    from harness.cli.describe import cost_rows, describe_size, print_space, space_rows
    from harness.cli.lines import duration

    spec = resolve_spec(space, resume, overrides)
    cost = estimate_search(spec, **asked)
    if json:
        print_json({"space": space_rows(spec), "size": describe_size(spec), **asdict(cost)})
        return
    print_space(spec)
    for note in cost.notes:
        print(printable(f"note: {note}"))
    print_table(cost_rows(cost.architectures), title=f"\nMeasured on {cost.device}, at the middle of each range")
    each = f" for each of {spec.evaluation}" if spec.evaluation.trainings > 1 else ""
    together = f", {cost.at_once} at a time" if cost.at_once > 1 else ""
    print(
        f"{spec.total} trials of up to {spec.budget.epochs} epochs{each}{together}: about {_about(cost.total_s)}; "
        f"{_about(cost.least_s)} to {_about(cost.most_s)} by the cheapest and the dearest candidate tried."
    )
    print(
        "An estimate, no bound: the start, planning, the final model and the report come on top, "
        "early stopping and pruning save some of it."
    )
    if small := [each.architecture for each in cost.architectures if each.stacked]:
        print(f"Those of {' and '.join(small)} that have one structure are trained together, in a fraction of that.")
    if spec.budget.time is not None:
        print(f"Whatever they cost, the command ends after about {duration(spec.budget.time)} (budget.time).")


def _about(seconds: float) -> str:
    from harness.cli.lines import duration

    return duration(seconds) if seconds >= 10.0 else f"{seconds:.2g} s"


def _show(result: SearchResult, *, json: bool) -> None:
    from harness.cli.console import err, print_json, print_table, printable
    from harness.report import bought, headline, summary_table

    best, warnings = result.best, result.warnings
    if json:
        print_json(
            {
                "run": str(result.run),
                "state": result.state,
                "trials": result.stats["outcomes"],
                "best": {key: best[key] for key in ("trial", "params", "validation", "standard_error", "tied")}
                if best
                else None,
                "test": result.test or None,
                "warnings": [asdict(warning) for warning in warnings],
                "report": str(result.report),
            }
        )
        return
    rows = summary_table(result.trials, dict(result.stats))
    several = len(result.stats["objective"]) > 1
    if rows:
        order = "Candidates, the Pareto front first" if several else "Best candidates"
        print_table(_compact(rows), title=f"\n{order} (by validation)")
    if best and several:
        print(
            f"Pareto front: {len(best['pareto'])} candidates; trial {best['trial']} was made into the final model, "
            f"by {result.stats['objective'][0]['metric']}"
        )
    elif best and len(best["tied"]) > 1:
        print(
            f"Winner: trial {best['trial']}, the cheapest of {len(best['tied'])} trials "
            "within one standard error of the best"
        )
    if result.test and best:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in headline(result.stats).items())
        averaged = len(result.stats["test"].get("trials", ()))
        winner = f"trial {best['trial']}" if several else f"the winner, trial {best['trial']}"
        print(f"Test score of {f'the average of {averaged} trials' if averaged else winner}: {scores}")
        _show_baseline(result.stats)
    if said := bought(result.trials, cast("Stats", result.stats)):
        print(said)
    if ended_by := result.stats["search"].get("ended_by"):
        print(f"Ended early: {ended_by}")
    if result.state == "interrupted":
        print(f"Interrupted; go on with: harness search --resume {result.run}")
    for warning in warnings:
        err().print(printable(f"warning: {warning.code}: {warning.text}"), markup=False)
    print(f"Report: {result.report}")


def _compact(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the best candidates in few columns, for a terminal of 80."""
    some_tied = any(row["choice"] for row in rows)
    compact = []
    for row in rows:
        rest = dict(row)
        architecture, optimizer, choice = (rest.pop(name) for name in ("architecture", "optimizer", "choice"))
        first = {
            **({"rank": rest.pop("rank")} if "rank" in rest else {}),
            **({"choice": choice} if some_tied else {}),
            "trial": rest.pop("trial"),
        }
        renamed = {{"latency_p50_ms": "latency ms"}.get(name, name): value for name, value in rest.items()}
        compact.append({**first, "candidate": ", ".join(filter(None, (architecture, optimizer))), **renamed})
    return compact


def _show_baseline(stats: Mapping[str, Any]) -> None:
    """Print the test scores of the best baseline, for the first objective."""
    from harness.report import best_baseline

    metric = stats["objective"][0]["metric"]
    rival = best_baseline(cast("Stats", stats), metric)
    if rival is not None and rival["test"] is not None:
        names = dict.fromkeys((metric, "loss"))
        scores = ", ".join(f"{name} {rival['test'][name]:.4f}" for name in names)
        print(f"Best baseline beside it ({rival['name']}): {scores}")
