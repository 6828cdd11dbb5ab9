"""``harness report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion


def report(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder, such as results/20260101-120000-digits-1a2b.", autocompletion=completion.search_runs
        ),
    ],
) -> None:
    """Rebuild report.md and report.html of a run from its records: the same records give the same bytes."""
    from harness.report import write_report

    for path in write_report(run):
        print(path)
