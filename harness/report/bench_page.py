"""The report of a benchmark, and of a comparison of two: what they say, with the figures that go with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.bench.comparison.compare import Comparison
from harness.bench.comparison.differences import device_name
from harness.bench.comparison.runs import COMPLETE, load_bench
from harness.bench.comparison.verdict import Verdict
from harness.bench.rows import Case
from harness.report.bench_plots import FIGURES, family_bars, forest, roofline
from harness.report.bench_roofs import compute_roof, memory_roof
from harness.report.bench_tables import (
    compared_table,
    family_table,
    machine_table,
    peak_table,
    ratio,
    row_table,
    sides_table,
)
from harness.report.blocks import Card, Content, Points, Section
from harness.report.charts import Chart
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from harness.report.wording import number, plural
from harness.store import write_file

_ROOF_NOTE = "Solid: measured peaks. Dashed: specified peaks."
_ROOFS = (
    "The roofline model (Williams, Waterman and Patterson, 2009): the rate of a kernel is bounded by memory bandwidth "
    "or by arithmetic. Measured peak: the best rate of any row of a precision, and the best copy, triad or reduction "
    "beyond the cache, so no row is above it."
)
_DIFFER = (
    "The best matrix product is below the peak for {}. Products and convolutions come from different libraries: on a "
    "CPU from MKL, which seems to leave AVX-512 unused on processors that are not Intel's, and from oneDNN. FLOPs of a "
    "convolution are those of the direct algorithm, where Winograd's on a GPU needs 2.25 to 4 times fewer "
    "multiplications."
)
_BELOW = 0.95
"""Share of the peak from which the best matrix product counts as reaching it."""
_WIDE_ROWS = 8
"""Rows above which a family's chart takes the whole width."""
_FOREST_NOTE = "Below 1: B is faster. Bars: 95 % intervals. Dotted: geometric mean."


def build_bench(run: Path) -> dict[str, str]:
    """Return the texts of ``report.md`` and ``report.html`` of a benchmark's run; nothing is written.

    The same files give the same bytes. Raises as :func:`harness.bench.read_bench` does.
    """
    read = load_bench(run)
    frame = _named(read.rows)
    content = bench_content(frame, read.env)
    return {
        "report.md": render_markdown(content),
        "report.html": render_html(content, bench_charts(frame, _spec(read.env))),
    }


def write_bench_report(run: Path) -> list[Path]:
    """Build the report of a benchmark from its records and write it into its folder."""
    pages = build_bench(run)
    for name, text in pages.items():
        write_file(run / name, text)
    return [run / name for name in pages]


def build_comparison(comparison: Comparison) -> dict[str, str]:
    """Return the texts of a comparison as Markdown and HTML, by ``comparison.md`` and ``comparison.html``."""
    content = comparison_content(comparison)
    page = render_html(content, comparison_charts(comparison))
    return {"comparison.md": render_markdown(content), "comparison.html": page}


def _named(rows: Mapping[Case, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the rows as a frame, each with its ``name`` and what its family's bars call it, ``short``."""
    names = [case.label for case in rows]
    shorter = [case.label.removeprefix(case.bench).strip() or case.bench for case in rows]
    return pd.DataFrame(list(rows.values())).assign(name=names, short=shorter)


def bench_content(frame: pd.DataFrame, env: Mapping[str, Any]) -> Content:
    """Return everything that the report of a run says."""
    doubtful = int(frame["note"].str.contains("throttled|contended", na=False).sum())
    ends = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().sort_index().items())
    state = env.get("state", COMPLETE)
    ended = "" if state == COMPLETE else f"; not complete: {state}"
    doubt = f"{plural(doubtful, 'row')} measured" if doubtful else "No row was measured"
    return Content(
        title=f"Benchmark of {device_name(env)}",
        subtitle=f"{plural(len(frame), 'row')} of {plural(frame['bench'].nunique(), 'benchmark')}: {ends}{ended}"
        f"{_threads(env)}",
        verdict=(_peaks(frame, _spec(env)), f"{doubt} on a throttled or contended machine."),
        cards=tuple(_bench_cards(frame, _spec(env))),
        sections=tuple(_bench_sections(frame, env)),
    )


def _threads(env: Mapping[str, Any]) -> str:
    """Return on how many CPU threads torch computed, as its processes told."""
    count = env.get("threads")
    return f" · {plural(count, 'CPU thread')}" if isinstance(count, int) else ""


def _peaks(frame: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    memory = memory_roof(frame, spec)
    parts = [f"memory {number(memory.measured)} GB/s"] if not math.isnan(memory.measured) else []
    for dtype in sorted(set(frame["dtype"])):
        peak = compute_roof(frame, spec, dtype).measured
        if not math.isnan(peak):
            parts.append(f"{dtype} {number(peak)} TFLOP/s")
    return f"Measured peaks: {', '.join(parts)}." if parts else "No peak was measured."


def _bench_cards(frame: pd.DataFrame, spec: Mapping[str, Any]) -> Iterator[Card]:
    memory = memory_roof(frame, spec)
    if not math.isnan(memory.measured):
        yield Card("memory", f"{number(memory.measured)} GB/s", f"specified {number(memory.specified)}")
    for dtype in sorted(set(frame["dtype"]), key=lambda name: -_or_zero(compute_roof(frame, spec, name).measured))[:3]:
        roof = compute_roof(frame, spec, dtype)
        if not math.isnan(roof.measured):
            yield Card(dtype, f"{number(roof.measured)} TFLOP/s", f"specified {number(roof.specified)}")
    yield Card("rows", f"{int((frame['status'] == 'ok').sum()):,} of {len(frame):,}", "were measured")


def _bench_sections(frame: pd.DataFrame, env: Mapping[str, Any]) -> Iterator[Section]:
    spec = _spec(env)
    roofs = {dtype: compute_roof(frame, spec, dtype) for dtype in sorted(set(frame["dtype"]))}
    below = [dtype for dtype, roof in roofs.items() if roof.usual < _BELOW * roof.measured]
    text = (_ROOFS, *([_DIFFER.format(" and ".join(below))] if below else []))
    yield Section(anchor="roofline", title="Roofline", text=text, blocks=(peak_table(frame, spec),))
    if any(family_bars(rows) for _, rows in frame.groupby("bench")):
        yield Section(
            anchor="families",
            title="By benchmark",
            text=("Each in its main figure: TFLOP/s, GB/s, samples/s or time.",),
        )
    text = ("Times are medians over blocks, with half the width of their 95 % bootstrap interval.",)
    yield Section(anchor="rows", title="All rows", text=text, blocks=(row_table(_measured_first(frame), "All rows"),))
    yield Section(anchor="machine", title="Machine", blocks=(machine_table(env),))


def _measured_first(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("status", key=lambda status: status != "ok", kind="stable")


def bench_charts(frame: pd.DataFrame, spec: Mapping[str, Any]) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of the report of a run, by the anchor of their section."""
    roofs = roofline(frame, spec)
    why = "" if roofs else "Not drawn: no row has both FLOPs and bytes counted."
    bars = []
    for family in dict.fromkeys(frame["bench"]):
        rows = frame[frame["bench"] == family]
        drawn = family_bars(rows)
        if drawn:
            note = "Less is better." if drawn[1] == "t_median_s" else "More is better."
            bars.append(Chart(f"{family}, {FIGURES[drawn[1]]}", drawn[0], note, wide=len(rows) > _WIDE_ROWS))
    return {
        "roofline": (Chart("Rate over arithmetic intensity", roofs, why or _ROOF_NOTE, wide=True),),
        **({"families": tuple(bars)} if bars else {}),
    }


def comparison_content(comparison: Comparison) -> Content:
    """Return everything that the report of a comparison says."""
    counts = {verdict: comparison.count(verdict) for verdict in Verdict}
    same_device = comparison.a.device == comparison.b.device
    devices = comparison.a.device if same_device else f"{comparison.a.device} and {comparison.b.device}"
    return Content(
        title="Benchmark comparison",
        subtitle=f"{devices} · {plural(len(comparison.rows), 'row')} in common",
        verdict=(
            ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + ": B against A.",
            _confounded_line(comparison),
        ),
        cards=tuple(
            Card(each.family, ratio(each.ratio), f"geometric mean of {plural(each.rows, 'row')}")
            for each in comparison.families
            if each.rows
        ),
        sections=tuple(_comparison_sections(comparison)),
    )


def _confounded_line(comparison: Comparison) -> str:
    kinds = sorted({each.kind for row in comparison.rows for each in row.differs})
    if not kinds:
        return "No confounding differences between the runs."
    return f"Confounded by: {', '.join(kinds)}."


def _comparison_sections(comparison: Comparison) -> Iterator[Section]:
    text = (
        "Ratios are times of B over times of A: above 1, B is slower. Slower or faster: the ratio is outside the "
        "band that counts as no change, and its whole 95 % interval outside half of it. Same: the whole interval is "
        "within the band."
    )
    yield Section(anchor="runs", title="What was compared", text=(text,), blocks=(sides_table(comparison),))
    yield Section(anchor="ratios", title="Ratios by family", blocks=(family_table(comparison),))
    yield Section(anchor="rows", title="All rows", blocks=(compared_table(comparison),))
    alone = [
        Points(tuple(case.label for case in cases), caption)
        for cases, caption in ((comparison.only_a, "Only in A"), (comparison.only_b, "Only in B"))
        if cases
    ]
    if alone:
        yield Section(anchor="alone", title="Rows in one run only", blocks=tuple(alone))


def comparison_charts(comparison: Comparison) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of a comparison, by the anchor of their section."""
    drawn: list[Chart] = []
    for each in comparison.families:
        rows = [row for row in comparison.rows if row.case.family == each.family]
        figure = forest(rows, each.ratio)
        if figure is not None:
            mean = f"Geometric mean {ratio(each.ratio)}. " if each.rows else ""
            note = f"{mean}{_FOREST_NOTE if not drawn else ''}"
            drawn.append(Chart(each.family, figure, note, wide=len(rows) > _WIDE_ROWS))
    return {"ratios": tuple(drawn)} if drawn else {}


def _spec(env: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the maker says of the device."""
    spec: Mapping[str, Any] = (env.get("peaks") or {}).get("specified") or {}
    return spec


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
