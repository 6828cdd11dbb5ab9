"""The limits of a machine, as a benchmark's rows and its maker have them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.bench.peaks import HOST_BENCHES, IN_CACHE, MEMORY_BENCHES, PRODUCT, STREAMS
from harness.records import NAN


@dataclass(frozen=True)
class Roof:
    """A limit of the machine; NaN: not known."""

    measured: float = NAN
    specified: float = NAN
    by: str = ""
    """The case that reached what was measured."""
    usual: float = NAN
    """What such a limit is usually read from: the best matrix product, the best copy or triad."""


def memory_roof(frame: pd.DataFrame, spec: Mapping[str, Any]) -> Roof:
    """Return the bandwidth of memory in GB/s, by the rule of :func:`measured_peaks`; ``spec`` is the maker's."""
    moved = frame[frame["bench"].isin(MEMORY_BENCHES) & (frame["variant"] != IN_CACHE)]
    return _roof(moved, "gbps", moved["bench"].isin(STREAMS), _known(spec.get("gbps")))


def compute_roof(frame: pd.DataFrame, spec: Mapping[str, Any], dtype: str) -> Roof:
    """Return the arithmetic of one precision in TFLOP/s, by the rule of :func:`measured_peaks`."""
    worked = frame[~frame["bench"].isin(HOST_BENCHES) & (frame["dtype"] == dtype)]
    return _roof(worked, "tflops", worked["bench"] == PRODUCT, _known((spec.get("tflops") or {}).get(dtype)))


def _roof(rows: pd.DataFrame, rate: str, usual: pd.Series, specified: float) -> Roof:
    """Return the best rate of the rows; none where not even the usual ones were measured."""
    known = float(rows.loc[usual, rate].max())
    if math.isnan(known):
        return Roof(specified=specified)
    best = rows.sort_values(rate, ascending=False, kind="stable").to_dict("records")[0]
    return Roof(float(best[rate]), specified, str(best["name"]), known)


def _known(value: object) -> float:
    return float(value) if isinstance(value, int | float) else NAN
