"""``harness report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from harness.cli import completion
from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from harness.report.formats import Format

FORMATS = ("html", "md", "csv", "tex", "json")
ALL = "all"


def _complete(incomplete: str) -> list[str]:
    return [name for name in (*FORMATS, ALL) if name.startswith(incomplete)]


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="A run folder, such as results/20260101-120000-digits-1a2b; several are put side by side.",
            autocompletion=completion.search_runs,
        ),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="html, md, csv, tex, json or all; may be given again.",
            show_default="html and md",
            autocompletion=_complete,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to; the runs are left as they are.",
            show_default="the run folder; of several runs the one around the first",
        ),
    ] = None,
) -> None:
    """Rebuild report.md and report.html of a run from its records, byte for byte, or put several runs side by side.

    Several comparisons, each on a task of its own, become one page over all tasks.
    """
    wanted = _formats(formats or [])
    from harness.report import write_bench_report, write_report, write_side_by_side, write_tasks
    from harness.store.files import is_file
    from harness.store.runs import COMPARISON

    if len(runs) > 1 and all(is_file(run / COMPARISON) for run in runs):
        if formats:
            raise InputError("--format: the report over several comparisons is HTML and Markdown; leave it out")
        written = write_tasks(runs, out or runs[0].resolve().parent)
    elif len(runs) > 1:
        written = write_side_by_side(runs, out or runs[0].resolve().parent, wanted)
    elif is_file(runs[0] / "env.json"):
        if formats or out:
            raise InputError(
                f"{runs[0]}: a benchmark; its report is Markdown and HTML in its folder: leave out options"
            )
        written = write_bench_report(runs[0])
    else:
        written = write_report(runs[0], wanted, out)
    for path in written:
        print(path)


def _formats(names: list[str]) -> tuple[Format, ...]:
    """Return the formats that are asked for, each once. Raises :class:`InputError`."""
    for name in names:
        if name not in (*FORMATS, ALL):
            raise InputError(f"--format {name}: unknown{did_you_mean(name, (*FORMATS, ALL))}")
    chosen = FORMATS if ALL in names else tuple(dict.fromkeys(names)) or ("md", "html")
    return cast("tuple[Format, ...]", chosen)
