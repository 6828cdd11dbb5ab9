"""``harness bench``: measure the machine, compare two runs, rebuild a report, list the benchmarks."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import completion
from harness.cli.early import check_bench, say_what_is_missing
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.bench.comparison.compare import ComparedRow, Comparison
    from harness.bench.workload import Level

app = typer.Typer(help="Benchmark this machine, or compare two benchmark runs.", invoke_without_command=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
LEVELS: tuple[Level, ...] = ("quick", "standard", "full")


@app.callback()
def bench(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute; the default.")] = False,
    standard: Annotated[bool, typer.Option("--standard", help="About eight minutes.")] = False,
    full: Annotated[bool, typer.Option("--full", help="About forty minutes.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A benchmark to run; may be given again.", autocompletion=completion.benchmarks
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="CPU threads of torch.", show_default="all usable cores")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that the run's own folder is made in.")] = Path("results"),
    json: Json = False,
) -> None:
    """Benchmark this machine, or compare two benchmark runs. Each benchmark has a process of its own."""
    if context.invoked_subcommand is not None:
        return
    chosen = [level for level, given in zip(LEVELS, (quick, standard, full), strict=True) if given]
    if len(chosen) > 1:
        raise InputError(f"--{chosen[0]} and --{chosen[1]}: give one of them")
    check_bench(only or [], device)
    say_what_is_missing()
    from harness.cli.bench_run import measure, show_run

    level = chosen[0] if chosen else "quick"
    show_run(measure(level, device=device, only=only or [], threads=threads, out=out), json=json)


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="The run to compare with.", autocompletion=completion.bench_runs)],
    b: Annotated[Path, typer.Argument(help="The run to be judged.", autocompletion=completion.bench_runs)],
    fail_on_regression: Annotated[
        str | None, typer.Option(metavar="SHARE", help="End with exit code 1 where B is slower by more, such as 5%.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="A difference that is part of the comparison, such as versions."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the comparison as a page.")] = None,
    json: Json = False,
) -> None:
    """Say of every row of two runs which is faster, and whether that can be believed."""
    limit = None if fail_on_regression is None else share_of(fail_on_regression)
    from harness.bench.comparison.compare import compare_bench
    from harness.bench.comparison.runs import COMPLETE

    comparison = compare_bench(a, b, allow=allow or [])
    slower = [] if limit is None else comparison.regressions(limit)
    if html is not None:
        from harness.report import build_comparison
        from harness.store import write_file

        write_file(html, build_comparison(comparison)["comparison.html"])
    _show_comparison(comparison, slower, html, json=json)
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        if run.state != COMPLETE:
            print(f"harness: {name} is not complete ({run.state}): {run.path}", file=sys.stderr)
    if limit is not None:
        _say_unjudged(comparison)
    if slower:
        _say_regressions(slower)
        raise typer.Exit(1)


def share_of(text: str) -> float:
    """Return the share that ``5%`` or ``0.05`` means. Raises :class:`InputError`."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if rest or not 0 <= value < 1:
        raise InputError(f"--fail-on-regression {text}: a share below 1, such as 5% or 0.05")
    return value


def _show_comparison(comparison: Comparison, slower: list[ComparedRow], html: Path | None, *, json: bool) -> None:
    from harness.bench.comparison.verdict import Verdict
    from harness.cli.console import print_json, print_table

    if json:
        print_json({**comparison.as_dict(), "regressions": [row.case.label for row in slower]})
        return
    print_table([_line(row) for row in comparison.rows], title=f"\nA {comparison.a.path}\nB {comparison.b.path}")
    means = [
        {
            "family": each.family,
            "geometric mean of B/A": _ratio(each.ratio),
            "rows": each.rows,
            "confounded": each.confounded,
        }
        for each in comparison.families
    ]
    print_table(means)
    print(", ".join(f"{comparison.count(verdict)} {verdict}" for verdict in Verdict))
    for name, cases in (("A", comparison.only_a), ("B", comparison.only_b)):
        if cases:
            print(f"{len(cases)} rows are only in {name}")
    for text in comparison.allowed:
        print(f"Allowed to differ: {text}")
    if html is not None:
        print(f"Report: {html}")


def _line(row: ComparedRow) -> dict[str, Any]:
    found = row.estimate
    return {
        "case": row.case.label,
        "verdict": str(row.verdict),
        "B/A": _ratio(found.ratio),
        "95 % interval": None if math.isnan(found.low) else f"{found.low:.3f} to {found.high:.3f}",
        "at equal clocks": _ratio(row.clock_ratio),
        "why": "; ".join([*(each.text for each in row.differs), *([row.note] if row.note else [])]),
    }


def _ratio(value: float) -> str | None:
    return None if math.isnan(value) else f"{value:.3f}"


def _say_unjudged(comparison: Comparison) -> None:
    """Tell how many rows could have become slower without anyone knowing."""
    from harness.bench.comparison.verdict import Verdict

    if confounded := comparison.count(Verdict.CONFOUNDED):
        print(f"harness: {confounded} confounded rows were not judged; --allow names what may differ", file=sys.stderr)
    if unjudged := sum(row.unjudged for row in comparison.rows):
        text = "rows of A were not judged for lack of time; measure longer, or more quietly"
        print(f"harness: {unjudged} {text}", file=sys.stderr)


def _say_regressions(slower: list[ComparedRow]) -> None:
    for row in slower:
        what = row.note if row.lost else f"{100 * (row.estimate.ratio - 1):.1f} % slower"
        print(f"harness: regression: {row.case.label}: {what}", file=sys.stderr)


@app.command("report")
def report(
    run: Annotated[
        Path, typer.Argument(help="A folder that `harness bench` wrote.", autocompletion=completion.bench_runs)
    ],
) -> None:
    """Rebuild report.md and report.html of a run from its records: the same records give the same bytes."""
    from harness.report import write_bench_report

    for path in write_bench_report(run):
        print(path)


@app.command("list")
def list_benchmarks() -> None:
    """List the benchmarks, for --only."""
    from harness.bench.catalog import CATALOG
    from harness.cli.console import print_table

    print_table([{"benchmark": name, "what it measures": entry.summary} for name, entry in CATALOG.items()])
