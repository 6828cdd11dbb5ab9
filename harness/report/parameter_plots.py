"""Figures of several parameters at once: parallel coordinates and contours."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.records import NAN
from harness.report.axes import scale
from harness.report.canvas import COLOURS, empty_figure, floats, label, told
from harness.report.figure import Figure
from harness.report.load import PARAMETER
from harness.report.wording import number, setting, short_names
from harness.study.pareto import Floats

_FIFTHS = ("#b0b5be", "#93a5c4", "#6b93d6", "#3f78d8", "#e8833a")
"""From the worst fifth of the trials to the best."""
_GRID = 30
_MOST_LEVELS = 6


@dataclass(frozen=True)
class _Axis:
    """One upright axis: where each trial stands from 0 to 1, and what is written at which height."""

    places: Floats
    ticks: tuple[tuple[float, str], ...]


def is_numeric(column: pd.Series) -> bool:
    """Tell whether a parameter has numbers, rather than choices."""
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column)


def parallel(trials: pd.DataFrame, columns: Sequence[str], metric: str, *, log: Collection[str]) -> Figure:
    """Draw each trial as a line over its parameters to its first objective, the best fifth on top.

    ``trials`` are complete ones, the best first; ``columns`` those of their parameters, ``log`` the ones that were
    sampled by their logarithm. A line has a gap where a parameter did not exist.
    """
    values = trials["value"].to_numpy(np.float64)
    axes = [_axis(trials[name], log=name in log) for name in columns] + [_numbers(values)]
    heights = np.column_stack([axis.places for axis in axes])
    paths = [name.removeprefix(PARAMETER) for name in columns]
    names = [*(label(short_names(paths)[path], 18) for path in paths), label(metric, 18)]
    figure = empty_figure(420, x="", y="")
    fifth = 4 - np.arange(len(trials)) * 5 // max(1, len(trials))
    for place, title in enumerate(("worst fifth", "fourth", "third", "second", "best fifth")):
        mine = np.flatnonzero(fifth == place)[::-1]
        if not len(mine):
            continue
        lines = np.column_stack([heights[mine], np.full(len(mine), NAN)])
        figure.add(
            "scatter",
            x=[*range(len(names)), None] * len(mine),
            y=floats(lines.ravel()),
            mode="lines",
            line={"color": _FIFTHS[place], "width": 1.6 if place == 4 else 1},
            opacity=0.9 if place == 4 else 0.6,
            name=title,
            hoverinfo="skip",
        )
    for position, axis in enumerate(axes):
        for height, text in axis.ticks:
            look = {"showarrow": False, "font": {"size": 10}, "xanchor": "left", "xshift": 3}
            figure.add_annotation(x=position, y=height, text=text, **look)
    figure.update_layout(
        xaxis={
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [-0.3, len(names) - 0.5],
            "ticklabeloverflow": "allow",
        },
        yaxis={"visible": False, "range": [-0.05, 1.05]},
        showlegend=True,
    )
    return figure


def _axis(column: pd.Series, *, log: bool) -> _Axis:
    if is_numeric(column):
        return _numbers(column.to_numpy(np.float64, na_value=NAN), log=log)
    levels = sorted({setting(value) for value in column.dropna()})
    steps = {level: place / max(1, len(levels) - 1) for place, level in enumerate(levels)}
    places = np.array([NAN if pd.isna(value) else steps[setting(value)] for value in column], dtype=np.float64)
    shown = levels if len(levels) <= _MOST_LEVELS else [levels[0], levels[-1]]
    return _Axis(places, tuple((steps[level], label(level, 14)) for level in shown))


def _numbers(values: Floats, *, log: bool = False) -> _Axis:
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    ticks = ((0.0, number(low)), (1.0, number(high))) if high > low else ((0.5, number(low)),)
    if high == low:
        return _Axis(np.where(np.isfinite(values), 0.5, NAN), ticks)
    if scale(known, log=log).get("type") == "log":
        values, low, high = np.log(values), math.log(low), math.log(high)
    return _Axis((values - low) / (high - low), ticks)


def contour(
    trials: pd.DataFrame, pair: tuple[str, str], metric: str, *, maximize: bool, log: Collection[str]
) -> Figure | None:
    """Draw the first objective over two numeric parameters, interpolated between the trials that have both.

    Linear interpolation on Delaunay triangles of the parameters, each from 0 to 1; darker is better, and beyond the
    trials nothing is drawn. None where all of them lie on one line.
    """
    present = trials.dropna(subset=[*pair, "value"])
    places = [present[name].to_numpy(np.float64) for name in pair]
    values = present["value"].to_numpy(np.float64)
    by_log = [scale(side, log=name in log).get("type") == "log" for name, side in zip(pair, places, strict=True)]
    scaled = [np.log(side) if is_log else side for side, is_log in zip(places, by_log, strict=True)]
    if np.linalg.matrix_rank(np.column_stack([side - side.mean() for side in scaled])) < 2:
        return None
    lines, heights = _interpolated(scaled, values)
    x, y = (np.exp(line) if is_log else line for line, is_log in zip(lines, by_log, strict=True))
    names = [label(name.removeprefix(PARAMETER).split(".")[-1]) for name in pair]
    figure = empty_figure(320, x=names[0], y=names[1])
    figure.add(
        "contour",
        x=floats(x),
        y=floats(y),
        z=[floats(row) for row in heights],
        autocolorscale=True,
        reversescale=not maximize,
        line={"width": 0.5},
        hovertemplate=f"{names[0]} %{{x:.4g}}, {names[1]} %{{y:.4g}}: %{{z:.4g}}<extra></extra>",
        colorbar={"thickness": 10, "title": {"text": label(metric, 14)}, "tickfont": {"size": 10}},
    )
    figure.add(
        "scatter",
        x=floats(places[0]),
        y=floats(places[1]),
        mode="markers",
        marker={"color": COLOURS[1], "size": 4, "opacity": 0.8},
        text=told(present),
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    sides = zip(places, by_log, strict=True)
    figure.update_layout(**{f"{axis}axis": _within(*side) for axis, side in zip("xy", sides, strict=True)})
    return figure


def _within(values: Floats, is_log: bool) -> dict[str, object]:
    """Return the axis with the ends of the values, so that the contour fills it."""
    axis = scale(values, log=True) if is_log else {}
    ends = np.log10([values.min(), values.max()]) if is_log else np.array([values.min(), values.max()])
    room = 0.03 * (ends[1] - ends[0])
    return {**axis, "range": floats([ends[0] - room, ends[1] + room])}


def _interpolated(sides: Sequence[Floats], values: Floats) -> tuple[list[Floats], Floats]:
    """Return the lines of a grid over the points, and the values on it, NaN outside of them."""
    from scipy.interpolate import LinearNDInterpolator
    from threadpoolctl import threadpool_limits

    points = np.column_stack([(side - side.min()) / np.ptp(side) for side in sides])
    unique, place = np.unique(points, axis=0, return_inverse=True)
    means = np.bincount(place.ravel(), weights=values) / np.bincount(place.ravel())
    surface = LinearNDInterpolator(unique, means)
    unit = np.linspace(0.0, 1.0, _GRID)
    # For each triangle it solves two equations: threads that wait for each other take a thousand times as long.
    with threadpool_limits(1, user_api="blas"):
        grid: Floats = surface(*np.meshgrid(unit, unit))
    return [side.min() + unit * np.ptp(side) for side in sides], grid
