"""What every figure is drawn on and with: layout, axes, colours, symbols, and texts that Plotly shows as they are.

Colours of text, axes and background belong to the page, which knows whether it is light or dark; so figures come
without a template.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from harness.records import Outcome
from harness.report.remarks import remarks
from harness.report.wording import clipped, number
from harness.study.pareto import Floats

COLOURS = ("#4a86e8", "#e8833a", "#2fa572", "#b565d8", "#dc5a6e", "#1ba8bd", "#a99326", "#8a8f98")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "pentagon", "star")
OUTCOME_STYLE: Mapping[str, tuple[str, str]] = {
    Outcome.COMPLETE: ("#4a86e8", "circle"),
    Outcome.PRUNED: ("#8a8f98", "circle-open"),
    Outcome.INFEASIBLE: ("#a99326", "square-open"),
    Outcome.OOM: ("#b565d8", "triangle-up"),
    Outcome.DIVERGED: ("#dc5a6e", "x"),
    Outcome.TIMEOUT: ("#e8833a", "diamond"),
    Outcome.CRASHED: ("#c0392b", "cross"),
    Outcome.INTERRUPTED: ("#1ba8bd", "square"),
}
"""Colour and symbol of each outcome: told apart without colour too."""

FRONT_COLOUR = "#2fa572"


_LOGARITHMIC_SPAN = 30


def label(text: object, limit: int = 28) -> str:
    """Return a name as text that Plotly shows as it is: short, on one line, with no tags."""
    return html.escape(clipped(str(text), limit), quote=False)


def empty_figure(height: int, *, x: str, y: str) -> go.Figure:
    """Return an empty figure that fills the width of its place."""
    return go.Figure(
        layout={
            "height": height,
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "xaxis": {"title": {"text": x}},
            "yaxis": {"title": {"text": y}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        }
    )


def points(trials: pd.DataFrame, colour: str, symbol: str, *, name: str) -> dict[str, Any]:
    """Return the look of one group of trials, with what a pointer over a point tells."""
    return {
        "mode": "markers",
        "marker": {"color": colour, "symbol": symbol, "size": 8},
        "name": label(name),
        "text": [told(row) for row in trials.to_dict("records")],
        "hovertemplate": "%{text}<extra></extra>",
    }


def told(trial: Mapping[Any, Any]) -> str:
    """Return what a pointer over a trial's point tells."""
    name = f"trial {trial['trial']}, {trial['outcome']}: {label(trial['architecture'])}, {label(trial['optimizer'])}"
    complete = trial["outcome"] == Outcome.COMPLETE
    return "<br>".join([name, number(trial["value"]) if complete else label(trial["reason"], 80), *remarks(trial)])


def add_by_architecture(figure: go.Figure, chosen: pd.DataFrame, trials: pd.DataFrame, x: Floats, y: Floats) -> None:
    """Add the chosen trials, one colour and symbol an architecture, the same in every figure of a run."""
    for position, name in enumerate(sorted(set(trials["architecture"]))):
        mine = (chosen["architecture"] == name).to_numpy()
        if mine.any():
            look = points(chosen[mine], cycled(COLOURS, position), cycled(SYMBOLS, position), name=name)
            figure.add_scatter(x=floats(x[mine]), y=floats(y[mine]), **look)


def scale(values: npt.ArrayLike) -> dict[str, Any]:
    """Return the axis for these values: logarithmic where they span much, whole ticks for few whole numbers."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return {}
    low, high = float(known.min()), float(known.max())
    if low > 0 and high / low >= _LOGARITHMIC_SPAN:
        ticks = _logarithmic_ticks(low, high)
        return {"type": "log", "tickvals": ticks, "ticktext": [_short(tick) for tick in ticks]}
    if high - low <= 8 and np.equal(known, known.round()).all():
        return {"dtick": 1, "range": [low - 0.5, high + 0.5]}
    return {}


def logarithmic(low: float, high: float) -> dict[str, Any]:
    """Return the logarithmic axis from ``low`` to ``high``, both above zero."""
    ticks = [tick for tick in _logarithmic_ticks(low, high) if low <= tick <= high]
    ends = floats(np.log10([low, high]))
    return {"type": "log", "range": ends, "tickvals": ticks, "ticktext": [_short(tick) for tick in ticks]}


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, with others between them where there are fewer than two decades."""
    span = high / low
    steps = (1.0,) if span >= 100 else (1.0, 2.0, 5.0) if span >= 10 else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return [tick for tick in ticks if low / 1.5 <= tick <= high * 1.5]


def _short(value: float) -> str:
    """Return a tick's label, with k and M for thousands and millions."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.6g}{unit}"
    return f"{value:.6g}"


def whole_ticks(count: int) -> dict[str, Any]:
    """Return the axis for counted things, which has no ticks between few of them."""
    return {"dtick": 1} if count <= 10 else {}


def floats(values: npt.ArrayLike) -> list[float | None]:
    """Return JSON numbers of six digits, None for NaN: the same text wherever the report is built."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in np.asarray(values, dtype=np.float64)]


def cycled(choices: Sequence[str], position: int) -> str:
    """Return the choice at ``position``, from the start again after the last."""
    return choices[position % len(choices)]
