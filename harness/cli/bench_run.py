"""One run of ``harness bench``: measured until its end or a signal, then shown as a table."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from json import loads
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

import typer

from harness.bench.comparison.compare import MACRO
from harness.bench.comparison.runs import BenchRun, load_bench
from harness.bench.rows import Case
from harness.bench.workload import Level
from harness.cli.console import cell, print_json, print_table
from harness.signals import asked_to_end

RATES = {"tflops": "TFLOP/s", "gbps": "GB/s", "samples_s": "samples/s"}
NAMED = 4
"""Cases that are named one by one where several were not measured for the same reason."""


class Ended(KeyboardInterrupt):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def _end(number: int) -> NoReturn:
    raise Ended(number)


def measure(level: Level, *, device: str, only: Sequence[str], threads: int | None, out: Path) -> BenchRun:
    """Run the suite and write its report. A signal ends it with 128 and its number; the groups that ended are kept."""
    from harness.bench.suite import run_suite
    from harness.cli.bench_progress import make_display
    from harness.report import write_bench_report

    with make_display() as display:
        try:
            with asked_to_end(_end):
                folder = run_suite(level=level, device=device, out=out, only=only, threads=threads, observer=display)
        except KeyboardInterrupt as end:
            kept = f"what was measured is in {display.folder}" if display.rows else "nothing was measured"
            print(f"harness: interrupted; {kept}", file=sys.stderr)
            raise typer.Exit(end.exit_code if isinstance(end, Ended) else 130) from None
    write_bench_report(folder)
    return load_bench(folder)


def show_run(run: BenchRun, *, json: bool) -> None:
    """Print the rows that were measured, and below them what was not, and why."""
    report = Path(run.path) / "report.html"
    if json:
        rows = [{**row, "facts": loads(row["facts"])} for row in run.rows.values()]
        print_json(
            {
                "run": run.path,
                "device": run.device,
                "threads": run.env.get("threads"),
                "report": str(report),
                "rows": rows,
            }
        )
        return
    done = {case: row for case, row in run.rows.items() if row["status"] == "ok"}
    remarks = list(dict.fromkeys(each for row in done.values() for each in _remarks(row)))
    lines = [_line(case, row, remarks) for case, row in done.items()]
    filled = [name for name in (lines[0] if lines else ()) if any(line[name] not in (None, "") for line in lines)]
    if lines:
        print_table(lines, columns=filled, title=f"\n{run.device}, {run.env.get('threads')} threads")
    for number, text in enumerate(remarks, 1):
        print(f"[{number}] {text}")
    for text in not_measured(run.rows):
        print(text)
    peaks = (run.env.get("peaks") or {}).get("specified") or {}
    if not peaks.get("tflops") and peaks.get("source"):
        print(f"No share of specified peaks: {peaks['source']}.")
    print(f"Report: {report}")


def _line(case: Case, row: Mapping[str, Any], remarks: Sequence[str]) -> dict[str, Any]:
    facts = [f"{name} {value:,.6g}" for name, value in loads(row["facts"]).items()] if not row["n_blocks"] else []
    return {
        "case": case_name(case),
        "µs": _known(row["t_median_s"] * 1e6),
        "±%": _shortened(50 * (row["t_ci_hi"] - row["t_ci_lo"]) / row["t_median_s"]),
        "rate": _rate(case, row),
        "% of measured": _shortened(row["pct_measured_peak"]),
        "% of specified": _shortened(row["pct_spec_peak"]),
        "remarks": " ".join([*facts, *(f"[{remarks.index(each) + 1}]" for each in _remarks(row))]),
    }


def _rate(case: Case, row: Mapping[str, Any]) -> str | None:
    """Return the most telling rate with its unit: samples of whole steps, else arithmetic, bytes or calls."""
    names = RATES if case.bench not in MACRO else dict(reversed(RATES.items()))
    return next((f"{cell(row[name])} {unit}" for name, unit in names.items() if row[name] == row[name]), None)


def _known(value: float) -> float | None:
    return value if value == value else None


def _shortened(value: float) -> str | None:
    return f"{value:.1f}" if value == value else None


def _remarks(row: Mapping[str, Any]) -> list[str]:
    return [each for each in row["note"].split("; ") if each]


def case_name(case: Case) -> str:
    """Return the name of a case without what goes without saying, its threads and the usual layout."""
    return replace(case, threads=0, layout=case.layout.removeprefix("contiguous")).label


def not_measured(rows: Mapping[Case, Mapping[str, Any]]) -> list[str]:
    """Return a line for each reason why cases were not measured, with them; failures come first."""
    measured = {case.dtype for case, row in rows.items() if row["status"] == "ok"}
    cases: dict[tuple[bool, str, str], list[Case]] = {}
    for case, row in rows.items():
        if row["status"] != "ok":
            skipped = row["status"] == "skipped"
            why = row["note"].partition(": ")[0] if skipped else row["note"]
            cases.setdefault((skipped, row["status"], why), []).append(case)
    return [
        f"{status}: {_which(same, measured)}: {why}"
        for (_, status, why), same in sorted(cases.items(), key=itemgetter(0))
    ]


def _which(cases: Sequence[Case], measured: Collection[str]) -> str:
    """Name a few cases one by one, and those of a precision that is never measured as ``bf16 of matmul, conv3x3``."""
    if len(cases) == 1:
        return case_name(cases[0])
    dtypes, benches = ({getattr(case, name): None for case in cases} for name in ("dtype", "bench"))
    if len(benches) > 1 and len(dtypes) == 1 and not dtypes.keys() & measured:
        return f"{next(iter(dtypes))} of {', '.join(benches)}"
    names = [case_name(case) for case in cases[:NAMED]]
    return ", ".join(names) + (f" and {len(cases) - NAMED} more" if len(cases) > NAMED else "")
