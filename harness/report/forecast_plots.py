"""The figure of a forecast: what came before, what followed, what was predicted, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from harness.report.canvas import COLOURS, FRONT_COLOUR, empty_figure, floats
from harness.report.figure import Figure
from harness.report.load import value_suffixes

SHOWN = 6
"""Forecasts that are drawn."""


def forecast(row: pd.Series) -> Figure:
    """Draw one test sample as ``predictions.parquet`` has it."""
    drawn = json.loads(row["drawn"])
    past, times = drawn["past"], drawn["times"]
    suffixes = value_suffixes(row.to_frame().T)
    # The lines begin at the last value that was known, so that they go on from it.
    ahead = times[len(past) - 1 :]
    figure = empty_figure(320, x="", y="")
    figure.add("scatter", x=times[: len(past)], y=floats(past), mode="lines", line={"color": COLOURS[-1]}, name="past")
    if f"low{suffixes[0]}" in row:
        low, high = (_going_on(row, end, suffixes, past[-1]) for end in ("low", "high"))
        band = {"mode": "lines", "line": {"width": 0, "color": COLOURS[0]}, "hoverinfo": "skip"}
        figure.add("scatter", x=ahead, y=high, showlegend=False, **band)
        figure.add("scatter", x=ahead, y=low, fill="tonexty", name="lowest to highest quantile", **band)
    for what, name, colour in (("target", "truth", FRONT_COLOUR), ("predicted", "forecast", COLOURS[0])):
        values = _going_on(row, what, suffixes, past[-1])
        figure.add("scatter", x=ahead, y=values, mode="lines", line={"color": colour, "width": 2}, name=name)
    return figure


def _going_on(row: pd.Series, what: str, suffixes: Sequence[str], last: float) -> list[float | None]:
    return floats([last, *(row[f"{what}{suffix}"] for suffix in suffixes)])
