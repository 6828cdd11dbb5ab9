"""The tables of the benchmark's report and of a comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.bench.comparison.compare import ComparedRow, Comparison
from harness.bench.comparison.runs import COMPLETE, BenchRun
from harness.bench.comparison.verdict import MACRO_BAND, MICRO_BAND
from harness.report.bench_roofs import compute_roof, memory_roof
from harness.report.blocks import Table, facts
from harness.report.wording import NOT_MEASURED, flattened, number, percent, whole

_COLUMNS = {
    "time (µs)": ("t_median_s", 1e6),
    "TFLOP/s": ("tflops", 1),
    "GB/s": ("gbps", 1),
    "samples/s": ("samples_s", 1),
    "% of measured peak": ("pct_measured_peak", 1),
    "% of specified peak": ("pct_spec_peak", 1),
    "compile (s)": ("compile_s", 1),
    "device memory (MiB)": ("mem_device_peak_mib", 1),
    "host memory (MiB)": ("mem_rss_peak_mib", 1),
    "energy (J)": ("energy_j", 1),
    "clock (MHz)": ("sm_mhz_median", 1),
}
"""Measured columns with the factor to the unit that is shown; those in which nothing was measured are left out."""


def row_table(frame: pd.DataFrame, caption: str) -> Table:
    """Return all rows of a run with what was measured and the flags of each."""
    known = {name: each for name, each in _COLUMNS.items() if frame[each[0]].notna().any()}
    rows = tuple(
        (
            row["name"],
            *(number(row[column] * factor) for column, factor in known.values()),
            _half_width(row),
            whole(row["n_blocks"]),
            _flags(row),
        )
        for row in frame.to_dict("records")
    )
    columns = ("case", *known, "interval (±)", "blocks", "remarks")
    return Table(caption=caption, columns=columns, rows=rows, numeric=frozenset(columns[1:-1]))


def _half_width(row: Mapping[Any, Any]) -> str:
    return percent((row["t_ci_hi"] - row["t_ci_lo"]) / 2 / row["t_median_s"])


def _flags(row: Mapping[Any, Any]) -> str:
    """Return what a reader must know of a row."""
    ended = row["status"] if row["status"] != "ok" else ""
    throttle = f"throttle: {row['throttle']}" if _text(row["throttle"]) else ""
    parts = (ended, throttle if "throttled" not in _text(row["note"]) else "", _text(row["note"]), _facts(row))
    return "; ".join(part for part in parts if part)


def _facts(row: Mapping[Any, Any]) -> str:
    found = json.loads(row["facts"])
    return ", ".join(f"{name} {number(value)}" for name, value in found.items())


def peak_table(frame: pd.DataFrame, spec: Mapping[str, Any]) -> Table:
    """Return the best rates that were measured beside what the maker specifies.

    ``spec`` has ``tflops``, ``gbps`` and ``source``.
    """
    dtypes = sorted(set(frame.loc[frame["tflops"].notna(), "dtype"]))
    roofs = [("memory (GB/s)", memory_roof(frame, spec))]
    roofs += [(f"{dtype} (TFLOP/s)", compute_roof(frame, spec, dtype)) for dtype in dtypes]
    rows = tuple(
        (
            name,
            number(roof.measured),
            number(roof.usual),
            number(roof.specified),
            percent(roof.measured / roof.specified),
            roof.by or NOT_MEASURED,
        )
        for name, roof in roofs
    )
    columns = (
        "peak",
        "measured",
        "best matrix product, or copy and triad",
        "specified",
        "measured / specified",
        "best row",
    )
    caption = f"Peaks (specified: {spec.get('source') or 'not known'})"
    return Table(caption=caption, columns=columns, rows=rows, numeric=frozenset(columns[1:-1]))


def compared_table(comparison: Comparison) -> Table:
    """Return every row of a comparison."""
    columns = ("case", "verdict", "ratio", "95 % interval", "clock-normalised", "A (µs)", "B (µs)", "why")
    return Table(
        caption="Every row",
        columns=columns,
        rows=tuple(_compared(row) for row in comparison.rows),
        numeric=frozenset(columns[2:-1]),
    )


def _compared(row: ComparedRow) -> tuple[str, ...]:
    found = row.estimate
    why = "; ".join([*(each.text for each in row.differs), *([row.note] if row.note else [])])
    return (
        row.case.label,
        str(row.verdict),
        ratio(found.ratio),
        interval(found.low, found.high),
        ratio(row.clock_ratio),
        number(row.a_s * 1e6),
        number(row.b_s * 1e6),
        why,
    )


def family_table(comparison: Comparison) -> Table:
    """Return the geometric mean of each family."""
    columns = ("family", "geometric mean", "rows", "confounded")
    rows = tuple(
        (each.family, ratio(each.ratio), whole(each.rows), whole(each.confounded)) for each in comparison.families
    )
    return Table(caption="Geometric means", columns=columns, rows=rows, numeric=frozenset(columns[1:]))


def sides_table(comparison: Comparison) -> Table:
    """Return what A and B are, and how they were judged."""
    pairs = [
        ("A", _run(comparison.a)),
        ("B", _run(comparison.b)),
        (
            "change that counts as none",
            f"{percent(MICRO_BAND)} of an operation, {percent(MACRO_BAND)} of a training step",
        ),
        (
            "scatter between the runs",
            percent(comparison.scatter) if comparison.scatter else "not beyond the intervals",
        ),
        ("allowed differences", "; ".join(comparison.allowed) or "nothing"),
    ]
    return facts("The runs", pairs)


def _run(run: BenchRun) -> str:
    ended = "" if run.state == COMPLETE else f"; not complete: {run.state}"
    return f"{run.path} ({run.device}){ended}"


def machine_table(env: Mapping[str, Any]) -> Table:
    """Return everything that was found out about the machine."""
    return facts("The machine", list(flattened(dict(env))), folded=True)


def ratio(value: float) -> str:
    """Write a ratio of times with three decimals, so that a column of them lines up."""
    return NOT_MEASURED if math.isnan(value) else f"{value:.3f}"


def interval(low: float, high: float) -> str:
    """Write an interval of a ratio."""
    return NOT_MEASURED if math.isnan(low) else f"{low:.3f} to {high:.3f}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
