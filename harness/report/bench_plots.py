"""The figures of the benchmark's report and of a comparison, each a function from frames or rows to one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.bench.comparison.compare import ComparedRow
from harness.bench.comparison.verdict import Verdict
from harness.bench.peaks import HOST_BENCHES
from harness.report.axes import scale
from harness.report.bench_roofs import compute_roof, memory_roof
from harness.report.canvas import COLOURS, SYMBOLS, cycled, empty_figure, floats, label
from harness.report.figure import Figure
from harness.report.wording import number
from harness.study.pareto import Floats

VERDICT_STYLE: dict[Verdict, tuple[str, str]] = {
    Verdict.FASTER: ("#2fa572", "triangle-left"),
    Verdict.SLOWER: ("#dc5a6e", "triangle-right"),
    Verdict.SAME: ("#4a86e8", "circle"),
    Verdict.INCONCLUSIVE: ("#8a8f98", "circle-open"),
    Verdict.CONFOUNDED: ("#a99326", "x"),
}
"""Colour and symbol of each verdict: told apart without colour too."""

FIGURES = {"tflops": "TFLOP/s", "gbps": "GB/s", "samples_s": "samples/s", "t_median_s": "time (µs)"}
"""What the rows of a family may be drawn by, the most telling first."""


def roofline_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the device's rows whose operations, bytes and rate are known, with their ``intensity`` in FLOP per byte.

    After Williams, Waterman and Patterson (2009), "Roofline", CACM 52(4):65.
    """
    rows = frame[~frame["bench"].isin(HOST_BENCHES)]
    rows = rows.assign(intensity=rows["flops"] / rows["bytes_moved"])
    known: pd.DataFrame = rows[(rows["intensity"] > 0) & np.isfinite(rows["intensity"]) & (rows["tflops"] > 0)]
    return known


def roofline(frame: pd.DataFrame, spec: Mapping[str, Any]) -> Figure | None:
    """Draw the rate of every row over its arithmetic intensity, under the roofs of the machine; None without rows.

    ``spec`` has what the maker says: ``tflops`` by dtype, and ``gbps``.
    """
    rows = roofline_rows(frame)
    if rows.empty:
        return None
    figure = empty_figure(440, x="arithmetic intensity (FLOP per byte)", y="TFLOP/s")
    dtypes, benches = sorted(set(rows["dtype"])), sorted(set(rows["bench"]))
    memory = memory_roof(frame, spec)
    span = _span(rows["intensity"])
    drawn = [*rows["tflops"]]
    for position, dtype in enumerate(dtypes):
        roof = compute_roof(frame, spec, dtype)
        for name, flat, slope, dash in (
            ("measured", roof.measured, memory.measured, "solid"),
            ("specified", roof.specified, memory.specified, "dash"),
        ):
            if not math.isnan(flat):
                x, y = _roof_line(span, flat, slope)
                drawn += y
                line = {"color": cycled(COLOURS, position), "dash": dash, "width": 2}
                text = f"{label(dtype)} peak, {name}: {number(flat)} TFLOP/s; memory {number(slope)} GB/s"
                look = {"line": line, "mode": "lines", "hovertemplate": f"{text}<extra></extra>"}
                figure.add("scatter", x=floats(x), y=floats(y), name=label(f"{dtype}, {name}"), **look)
        for bench in benches:
            mine = rows[(rows["dtype"] == dtype) & (rows["bench"] == bench)]
            if len(mine):
                symbol = cycled(SYMBOLS, benches.index(bench))
                marker = {"color": cycled(COLOURS, position), "symbol": symbol, "size": 9}
                _add_points(figure, mine, marker, label(f"{bench} {dtype}"))
    if len(benches) > 1:
        _add_symbols(figure, benches)
    figure.update_layout(xaxis=scale(span), yaxis=scale(drawn), legend={"orientation": "v", "x": 1.02, "y": 1})
    figure.update_layout(xaxis={"type": "log"}, yaxis={"type": "log"}, legend={"yanchor": "top"})
    return figure


def _add_symbols(figure: Figure, benches: Sequence[str]) -> None:
    """Name the symbols in the legend, in a colour that is no precision's."""
    for position, bench in enumerate(benches):
        marker = {"color": COLOURS[-1], "symbol": cycled(SYMBOLS, position), "size": 9}
        figure.add("scatter", x=[None], y=[None], mode="markers", marker=marker, name=label(bench))


def _span(intensity: pd.Series) -> list[float]:
    return [float(intensity.min()) / 2, float(intensity.max()) * 2]


def _roof_line(span: Sequence[float], flat: float, slope: float) -> tuple[list[float], list[float]]:
    """Return the corners of a roof: up along the bandwidth (GB/s) as far as the arithmetic (TFLOP/s) lets it."""
    if math.isnan(slope):
        return list(span), [flat, flat]
    ridge = flat / slope * 1e3
    x = [span[0], *([ridge] if span[0] < ridge < span[1] else []), span[1]]
    return x, [min(flat, each * slope * 1e-3) for each in x]


def _add_points(figure: Figure, rows: pd.DataFrame, marker: dict[str, Any], name: str) -> None:
    figure.add(
        "scatter",
        x=floats(rows["intensity"]),
        y=floats(rows["tflops"]),
        mode="markers",
        marker=marker,
        name=name,
        text=[label(f"{row['name']}: {number(row['tflops'])} TFLOP/s", 90) for row in rows.to_dict("records")],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def family_bars(rows: pd.DataFrame) -> tuple[Figure, str] | None:
    """Draw the rows of one family as bars of its most telling figure; return it with the figure's column.

    Bars of one precision have one colour. None where nothing was measured.
    """
    column = next((name for name in FIGURES if rows[name].notna().any()), None)
    if column is None:
        return None
    shown = rows[rows[column].notna()].iloc[::-1]
    values = shown[column].to_numpy(np.float64) * (1e6 if column == "t_median_s" else 1)
    dtypes = sorted(set(shown["dtype"]))
    figure = empty_figure(100 + 20 * len(shown), x=FIGURES[column], y="")
    low, high = (_spread(shown, column, values, name) for name in ("t_ci_lo", "t_ci_hi"))
    error = {"type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": COLOURS[-1]}
    places = np.arange(len(shown))
    for position, dtype in enumerate(dtypes):
        mine = (shown["dtype"] == dtype).to_numpy()
        figure.add(
            "bar",
            x=floats(values[mine]),
            y=places[mine].tolist(),
            error_x={**error, "array": floats(high[mine]), "arrayminus": floats(low[mine])},
            orientation="h",
            marker={"color": cycled(COLOURS, position)},
            name=label(dtype),
            text=[
                label(f"{name}: {number(value)} {FIGURES[column]}", 90)
                for name, value in zip(shown["name"][mine], values[mine], strict=True)
            ],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    ticks = [label(name, 44) for name in shown["short"]]
    figure.update_layout(yaxis={"tickvals": places.tolist(), "ticktext": ticks, "showgrid": False})
    figure.update_layout(showlegend=len(dtypes) > 1, xaxis={"rangemode": "tozero"}, bargap=0.25)
    return figure, column


def _spread(shown: pd.DataFrame, column: str, values: Floats, bound: str) -> Floats:
    """Return how far the interval of the time reaches in units of ``values``, below or above; a rate goes with 1/t."""
    ratio = shown[bound].to_numpy(np.float64) / shown["t_median_s"].to_numpy(np.float64)
    reach: Floats = np.abs(values * (ratio if column == "t_median_s" else 1 / ratio) - values)
    return reach


def forest(rows: Sequence[ComparedRow], mean: float) -> Figure | None:
    """Draw the ratios of one family with their intervals, and their geometric mean; None without any ratio."""
    shown = [row for row in rows if not math.isnan(row.estimate.ratio)][::-1]
    if not shown:
        return None
    figure = empty_figure(120 + 20 * len(shown), x="time of B over A", y="")
    for verdict, (colour, symbol) in VERDICT_STYLE.items():
        places = [place for place, row in enumerate(shown) if row.verdict is verdict]
        if places:
            _add_ratios(figure, shown, places, colour, symbol, name=str(verdict))
    ticks = [label(_short(row), 44) for row in shown]
    figure.update_layout(
        yaxis={"tickvals": list(range(len(shown))), "ticktext": ticks, "range": [-0.6, len(shown) - 0.4]},
        xaxis={"type": "log", **_ratio_ticks(shown)},
        showlegend=True,
    )
    figure.add_vline(x=1, line={"color": COLOURS[-1], "width": 1})
    if not math.isnan(mean):
        figure.add_vline(x=float(f"{mean:.6g}"), line={"color": COLOURS[0], "width": 1.5, "dash": "dot"})
    return figure


def _add_ratios(
    figure: Figure, shown: Sequence[ComparedRow], places: list[int], colour: str, symbol: str, *, name: str
) -> None:
    estimates = [shown[place].estimate for place in places]
    figure.add(
        "scatter",
        x=floats([each.ratio for each in estimates]),
        y=places,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": floats([each.high - each.ratio for each in estimates]),
            "arrayminus": floats([each.ratio - each.low for each in estimates]),
            "thickness": 1.5,
            "width": 3,
        },
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 9},
        name=name,
        text=[_told(shown[place]) for place in places],
        hovertemplate="%{text}<extra></extra>",
    )


def _told(row: ComparedRow) -> str:
    found = row.estimate
    interval = "" if math.isnan(found.low) else f" ({number(found.low)} to {number(found.high)})"
    lines = [row.case.label, f"{row.verdict}: {number(found.ratio)}{interval}", *(each.text for each in row.differs)]
    return "<br>".join(label(line, 90) for line in lines)


def _short(row: ComparedRow) -> str:
    return row.case.label.removeprefix(row.case.bench).strip()


def _ratio_ticks(shown: Sequence[ComparedRow]) -> dict[str, Any]:
    """Return few ticks around 1 that include it, and the range that holds every ratio.

    Intervals are cut off that reach over ``_LONGEST`` times as far as the furthest ratio, or all others would be dots.
    """
    ratios, low, high = (np.array([getattr(row.estimate, end) for row in shown]) for end in ("ratio", "low", "high"))
    furthest = max(math.log10(1.06), float(np.abs(np.log10(ratios)).max()))
    ends = np.abs(np.log10([*low[low > 0], *high[high > 0]]))
    reach = 1.1 * max(furthest, min(float(ends.max(initial=0.0)), _LONGEST * furthest))
    ticks = next((each for each in _TICKS if math.log10(each[-1]) >= 0.75 * reach), _TICKS[-1])
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks], "range": floats([-reach, reach])}


_LONGEST = 3
_TICKS = (
    (0.95, 1.0, 1.05),
    (0.9, 1.0, 1.1),
    (0.8, 1.0, 1.25),
    (0.5, 0.67, 1.0, 1.5, 2.0),
    (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0),
)
