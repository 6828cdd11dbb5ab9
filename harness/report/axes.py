"""Axes: which scale fits the values, what may lie outside of it, and how many points that leaves out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.report.canvas import floats
from harness.report.figure import Figure
from harness.study.pareto import Flags, Floats

_LOGARITHMIC_SPAN = 30
_LEAST_VALUES = 5
"""Values below which none is far from the others."""
_WORTH = 3
"""How much longer an axis must be for a few values before they are left outside."""


def scale(values: npt.ArrayLike, *, log: bool = False) -> dict[str, Any]:
    """Return the axis for these values: logarithmic or linear, with whole ticks for few whole numbers.

    It is logarithmic where they span much, or ``log`` asks for it and all are above zero.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return {}
    low, high = float(known.min()), float(known.max())
    if low > 0 and (log or high / low >= _LOGARITHMIC_SPAN):
        ticks = _logarithmic_ticks(low, high)
        return {"type": "log", "tickvals": ticks, "ticktext": [_short(tick) for tick in ticks]}
    if high - low <= 8 and np.equal(known, known.round()).all():
        return {"dtick": 1, "range": [low - 0.5, high + 0.5]}
    return {}


def robust_scale(values: npt.ArrayLike) -> dict[str, Any]:
    """Return the axis that :func:`scale` does, of all values but the few that are far from the others.

    A trial that went wrong must not flatten all others; :func:`outside` counts what a figure leaves out.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    ends = bulk(known)
    if ends is None:
        return scale(known)
    axis = scale(known[(known >= ends[0]) & (known <= ends[1])])
    low, high = np.log10(ends) if axis.get("type") == "log" else ends
    room = 0.06 * (high - low)
    return {"range": floats([low - room, high + room]), **axis}


def bulk(known: Floats) -> tuple[float, float] | None:
    """Return the ends of the values without those far from all others; None where leaving any out gains little.

    Far is beyond the outer fences, three times the distance between the quartiles (Tukey, 1977, Exploratory Data
    Analysis), of the values or, where all are above zero, of their logarithms.
    """
    if len(known) < _LEAST_VALUES:
        return None
    inside: Floats = known[_within_fences(known)]
    if (known > 0).all():
        inside = max(inside, known[_within_fences(np.log(known))], key=len)
    spans = float(np.ptp(known)), float(np.ptp(inside))
    if len(inside) == len(known) or spans[1] == 0 or spans[0] < _WORTH * spans[1]:
        return None
    return float(inside.min()), float(inside.max())


def _within_fences(values: Floats) -> Flags:
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = 3 * (upper - lower)
    return np.asarray((values >= lower - reach) & (values <= upper + reach), dtype=np.bool_)


def outside(figure: Figure) -> int:
    """Return how many points a figure's axes leave out, or cut the interval of; lines that say nothing do not count."""
    count = 0
    for trace in figure.data:
        if trace["type"] != "scatter" or trace.get("hoverinfo") == "skip":
            continue
        beyond = np.zeros(len(trace["x"]), dtype=np.bool_)
        for side in "xy":
            values, name = trace[side], trace.get(f"{side}axis", side)
            axis = figure.layout.get(f"{side}axis{name[1:]}", {})
            if "range" in axis and len(values):
                for ends in _ends(values, trace.get(f"error_{side}", {})):
                    beyond |= _beyond(ends, axis)
        count += int(beyond.sum())
    return count


def _ends(values: Sequence[float | None], error: Mapping[str, Any]) -> tuple[Floats, ...]:
    """Return the values, or where they have intervals the ends of these."""
    known = np.array(values, dtype=np.float64)
    if "array" not in error:
        return (known,)
    below = error.get("arrayminus", error["array"])
    return known - np.array(below, dtype=np.float64), known + np.array(error["array"], dtype=np.float64)


def _beyond(places: Floats, axis: Mapping[str, Any]) -> Flags:
    """Return which places an axis with a range of its own does not show."""
    if axis.get("type") == "log":
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.log10(places)
    low, high = sorted(axis["range"])
    return np.asarray((places < low) | (places > high), dtype=np.bool_)


def logarithmic(low: float, high: float) -> dict[str, Any]:
    """Return the logarithmic axis from ``low`` to ``high``, both above zero."""
    ticks = [tick for tick in _logarithmic_ticks(low, high) if low <= tick <= high]
    ends = floats(np.log10([low, high]))
    return {"type": "log", "range": ends, "tickvals": ticks, "ticktext": [_short(tick) for tick in ticks]}


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, with others between them where there are fewer than two decades."""
    span = high / low
    choices = {100: (1.0,), 20: (1.0, 3.0), 10: (1.0, 2.0, 5.0), 0: (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)}
    steps = next(steps for least, steps in choices.items() if span >= least)
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
