"""Figures of predictions against measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.report.axes import logarithmic
from harness.report.canvas import COLOURS, FRONT_COLOUR, SHOWN_TRIALS, SYMBOLS, cycled, empty_figure, floats
from harness.report.figure import Figure
from harness.report.gates import TOLERANCE
from harness.report.wording import number


def predicted_against_measured(pairs: pd.DataFrame, names: Mapping[str, str], unit: str) -> Figure:
    """Draw predictions of one unit over what was measured, on logarithmic axes of the same range.

    ``pairs`` has the columns of :class:`harness.report.gates.Gates`, ``names`` what each prediction is called. The
    solid line is where both agree; between the dotted ones the error is at most TOLERANCE.
    """
    figure = empty_figure(340, x=f"measured ({unit})", y=f"predicted ({unit})")
    for position, (name, title) in enumerate(names.items()):
        mine = pairs[pairs["name"] == name]
        mine = mine.iloc[:: max(1, math.ceil(len(mine) / SHOWN_TRIALS))]
        if mine.empty:
            continue
        look = {"color": cycled(COLOURS, position), "symbol": cycled(SYMBOLS, position), "size": 7, "opacity": 0.75}
        figure.add(
            "scatter",
            x=floats(mine["measured"]),
            y=floats(mine["predicted"]),
            mode="markers",
            marker=look,
            name=title,
            text=[_told(*row) for row in zip(mine["trial"], mine["predicted"], mine["measured"], strict=True)],
            hovertemplate="%{text}<extra></extra>",
        )
    shown = pairs[pairs["name"].isin(list(names))][["predicted", "measured"]].to_numpy(np.float64)
    ends = np.array([shown.min() / 1.5, shown.max() * 1.5])
    for factor in (1, 1 + TOLERANCE, 1 - TOLERANCE):
        exact = factor == 1
        figure.add(
            "scatter",
            x=floats(ends),
            y=floats(factor * ends),
            mode="lines",
            line={"color": FRONT_COLOUR if exact else COLOURS[-1], "dash": "solid" if exact else "dot", "width": 1.5},
            name="exact" if exact else f"±{100 * TOLERANCE:.0f} %",
            showlegend=factor >= 1,
            hoverinfo="skip",
        )
    axis = logarithmic(*ends)
    figure.update_layout(xaxis=axis, yaxis=axis, showlegend=True)
    return figure


def _told(trial: int, predicted: float, measured: float) -> str:
    off = predicted / measured - 1
    return f"trial {trial}: predicted {number(predicted)}, measured {number(measured)} ({off:+.0%})"
