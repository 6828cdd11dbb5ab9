"""What every figure is drawn on and with: layout, colours, symbols, and texts that Plotly shows as they are.

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

from harness.records import NAN, Outcome
from harness.report.figure import Figure
from harness.report.remarks import REMARKED, remarks
from harness.report.wording import clipped, number
from harness.study.pareto import Flags, Floats

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
_TOLD = ("trial", "outcome", "architecture", "optimizer", "value", "reason")
SHOWN_TRIALS = 600
"""Trials of one figure: what stands there in thousands is not told apart any more."""


def label(text: object, limit: int = 28) -> str:
    """Return a name as text that Plotly shows as it is: short, on one line, with no tags."""
    return html.escape(clipped(str(text), limit), quote=False)


def empty_figure(height: int, *, x: str, y: str) -> Figure:
    """Return an empty figure that fills the width of its place."""
    return Figure(
        {
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
        "text": told(trials),
        "hovertemplate": "%{text}<extra></extra>",
    }


def told(trials: pd.DataFrame) -> list[str]:
    """Return what a pointer over the point of each trial tells."""
    return [_told(row) for row in trials[[*_TOLD, *REMARKED]].to_dict("records")]


def _told(trial: Mapping[Any, Any]) -> str:
    name = f"trial {trial['trial']}, {trial['outcome']}: {label(trial['architecture'])}, {label(trial['optimizer'])}"
    complete = trial["outcome"] == Outcome.COMPLETE
    return "<br>".join([name, number(trial["value"]) if complete else label(trial["reason"], 80), *remarks(trial)])


def add_by_architecture(figure: Figure, chosen: pd.DataFrame, trials: pd.DataFrame, x: Floats, y: Floats) -> None:
    """Add the chosen trials, one colour and symbol an architecture, the same in every figure of a run."""
    for position, name in enumerate(sorted(set(trials["architecture"]))):
        mine = (chosen["architecture"] == name).to_numpy()
        if mine.any():
            look = points(chosen[mine], cycled(COLOURS, position), cycled(SYMBOLS, position), name=name)
            figure.add("scatter", x=floats(x[mine]), y=floats(y[mine]), **look)


def floats(values: npt.ArrayLike) -> list[float | None]:
    """Return JSON numbers of six digits, None for NaN: the same text wherever the report is built."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in np.asarray(values, dtype=np.float64)]


def thinned(keep: Flags) -> Flags:
    """Return which points to draw: all of a few; else those to keep whatever comes, and SHOWN_TRIALS drawn at random.

    The same ones each time: not every so many-th, which may have something in common.
    """
    chosen = keep.copy()
    chosen[np.random.default_rng(0).permutation(len(keep))[:SHOWN_TRIALS]] = True
    return chosen


def turns(best: Floats) -> Flags:
    """Return at which places of a best so far it changes, from its first value on."""
    before = np.concatenate([[NAN], best[:-1]])[: len(best)]
    changed: Flags = np.isfinite(best) & (best != before)
    return changed


def corners(best: Floats) -> Flags:
    """Return the places that the steps of a best so far are drawn by: those at which it changes, and the last."""
    drawn = turns(best)
    drawn[-1:] = True
    return drawn


def cycled(choices: Sequence[str], position: int) -> str:
    """Return the choice at ``position``, from the start again after the last."""
    return choices[position % len(choices)]
