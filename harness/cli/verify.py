"""``harness verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.options import Json


def verify(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder, such as results/20260101-120000-digits-1a2b.", autocompletion=completion.search_runs
        ),
    ],
    json: Json = False,
) -> None:
    """Check that a run is what it was: its files against their digests, and against each other."""
    from harness.cli.console import print_json, printable
    from harness.errors import StorageError
    from harness.integrity import verify as check

    found = check(run)
    if json:
        print_json(found.as_dict())
    else:
        for finding in found.findings:
            print(printable(str(finding)))
        for left in found.unchecked:
            print(printable(f"harness: not checked: {left}"), file=sys.stderr)
        print(_summary(found.state, len(found.findings), found.files))
    raise typer.Exit(StorageError.exit_code if found.findings else 0)


def _summary(state: str, findings: int, files: int) -> str:
    if findings:
        return f"{state}: {findings} {'finding' if findings == 1 else 'findings'} in {files:,} files"
    told = "as they were sealed, and agree" if state == "intact" else "readable; no manifest says what they were"
    return f"{state}: {files:,} files, {told}"
