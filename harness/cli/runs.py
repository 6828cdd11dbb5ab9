"""``harness runs``."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.store.runs import Listed, Skipped

TOLD = 10
"""How many are named of the folders that cannot be read, and of those without runs."""


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder to look through.")] = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the runs below a folder, the newest first."""
    from harness.cli.console import print_json, print_table
    from harness.store.runs import list_runs

    found, skipped = list_runs(folder)
    if json:
        told = [{"path": str(each.path), "why": each.why} for each in skipped]
        print_json({"runs": [{**asdict(run), "run": str(run.run)} for run in found], "skipped": told})
        return
    print_table([_line(run, folder) for run in found])
    print(f"{len(found)} {'run' if len(found) == 1 else 'runs'} in {folder}")
    _say_skipped(skipped)


def _line(run: Listed, folder: Path) -> dict[str, Any]:
    from harness.cli.lines import duration

    name = run.run.relative_to(folder) if run.run != folder else run.run
    best = f"{run.metric} {run.value:.4g}" if run.metric and not math.isnan(run.value) else None
    known = not math.isnan(run.started_unix_s)
    return {
        "run": str(name),
        "command": run.command,
        "task": run.task,
        "state": run.state,
        "best": best,
        "trials": run.trials,
        "time": None if math.isnan(run.seconds) else duration(run.seconds),
        "started": f"{datetime.fromtimestamp(run.started_unix_s):%Y-%m-%d %H:%M}" if known else None,
    }


def _say_skipped(skipped: Sequence[Skipped]) -> None:
    from harness.cli.console import printable

    broken = [each for each in skipped if not each.foreign]
    foreign = [printable(each.path.name) for each in skipped if each.foreign]
    for each in broken[:TOLD]:
        print(f"harness: not listed: {printable(f'{each.path}: {each.why}')}", file=sys.stderr)
    if len(broken) > TOLD:
        print(f"harness: not listed: {len(broken) - TOLD} more that cannot be read; --json has all", file=sys.stderr)
    if foreign:
        more = f" and {len(foreign) - TOLD} more" if len(foreign) > TOLD else ""
        print(f"harness: no runs in: {', '.join(foreign[:TOLD])}{more}", file=sys.stderr)
