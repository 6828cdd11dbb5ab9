"""Figures of predicted quantiles: how many values lie below each, and the values between the outer ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.report.canvas import COLOURS, FRONT_COLOUR, empty_figure, floats
from harness.report.figure import Figure
from harness.report.quality_plots import SHOWN_SAMPLES, add_shares
from harness.report.wording import percent


def shares_below(actual: pd.Series, quantiles: pd.DataFrame, levels: Sequence[float]) -> Figure:
    """Draw the share of the values that are no more than each quantile over its level, with Wilson's 95 % intervals.

    On the line quantiles keep what they promise.
    """
    below = (quantiles.to_numpy(np.float64) >= actual.to_numpy(np.float64)[:, None]).sum(axis=0)
    figure = empty_figure(420, x="level of the quantile", y="share of the values at or below it")
    counts = np.full(len(below), len(actual))
    told = [f"quantile {level:g}: {percent(hits / len(actual))}" for level, hits in zip(levels, below, strict=True)]
    add_shares(figure, levels, below, counts, names=("as promised", "test samples"), told=told)
    figure.update_layout(xaxis={"range": [0, 1]}, yaxis={"range": [0, 1.02]}, showlegend=True)
    return figure


def between(actual: pd.Series, predicted: pd.Series, quantiles: pd.DataFrame) -> Figure:
    """Draw the values over samples in the order of what was predicted, and the band of the outer quantiles."""
    rows = np.argsort(predicted.to_numpy(np.float64), kind="stable")
    rows = rows[:: max(1, math.ceil(len(rows) / SHOWN_SAMPLES))]
    places, table = list(range(len(rows))), quantiles.to_numpy(np.float64)[rows]
    figure = empty_figure(420, x="test samples, in the order of their prediction", y="value")
    band = {"mode": "lines", "line": {"width": 0, "color": COLOURS[0]}, "hoverinfo": "skip"}
    figure.add("scatter", x=places, y=floats(table[:, -1]), showlegend=False, **band)
    figure.add("scatter", x=places, y=floats(table[:, 0]), fill="tonexty", name="lowest to highest quantile", **band)
    line = {"color": COLOURS[0], "width": 2}
    figure.add("scatter", x=places, y=floats(predicted.to_numpy()[rows]), mode="lines", line=line, name="predicted")
    marker = {"color": FRONT_COLOUR, "size": 5, "opacity": 0.6}
    figure.add("scatter", x=places, y=floats(actual.to_numpy()[rows]), mode="markers", marker=marker, name="actual")
    figure.update_layout(showlegend=True)
    return figure
