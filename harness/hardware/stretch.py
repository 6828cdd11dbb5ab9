"""Figures of a stretch of time from the samples taken during it and next to it.

Between two samples a quantity is taken to change linearly. At the ends of the stretch it is read off the line between
the samples on either side, so that a stretch shorter than the sampling interval still has figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.records import Figures

Floats = npt.NDArray[np.float64]

MIN_COVERAGE = 0.9
"""Least share of a stretch between first and last sample for its energy to be told; the rest is taken as alike."""

_MEANS = {"gpu_utilization_percent": "gpu_utilization_percent", "power_w": "power_w"}
_PEAKS = {
    "memory_device_peak_mib": "memory_device_mib",
    "memory_process_peak_mib": "memory_process_mib",
    "memory_rss_peak_mib": "memory_rss_mib",
    "temperature_c": "temperature_c",
}


class _Line(NamedTuple):
    """A quantity over the covered part of a stretch: at least two points, or none."""

    times: Floats
    values: Floats

    @property
    def covered_s(self) -> float:
        return float(self.times[-1] - self.times[0]) if len(self.times) else 0.0

    def integral(self) -> float:
        return float(np.trapezoid(self.values, self.times))

    def mean(self) -> float:
        return self.integral() / self.covered_s if self.covered_s > 0 else float(self.values.mean())


def summarise(
    times: Floats, columns: Mapping[str, Floats], start_s: float, end_s: float, reasons: Mapping[str, str]
) -> Figures:
    """Return means of utilisation and power, peaks of memory and temperature, and the energy used.

    ``times`` (N,) and every column (N,) are samples in Unix seconds and by names of records.TELEMETRY, NaN where a
    sample failed; ``reasons`` says why a column is NaN. Means weigh by time. Energy is the difference of the GPU's
    counter, or, where it has none, the trapezoid integral of power, which the reason then says although there is a
    value. A figure whose column has no sample in or around the stretch is NaN with a reason.
    """
    if end_s < start_s:
        raise ValueError(f"the stretch ends {start_s - end_s:.3f} s before it starts")
    order = np.argsort(times, kind="stable")  # the clock may have been set back
    times = times[order]
    lines = {name: _clip(times, values[order], start_s, end_s) for name, values in columns.items()}
    nothing = _Line(np.empty(0), np.empty(0))
    figures = Figures()
    for summary, sources in ((_Line.mean, _MEANS), (lambda line: float(line.values.max()), _PEAKS)):
        for figure, column in sources.items():
            line = lines.get(column, nothing)
            if len(line.times):
                figures |= Figures({figure: summary(line)})
            else:
                figures |= Figures.missing(_why(column, reasons), figure)
    counter, power = lines.get("energy_counter_j", nothing), lines.get("power_w", nothing)
    return figures | _energy(counter, power, end_s - start_s, reasons)


def _clip(times: Floats, values: Floats, start_s: float, end_s: float) -> _Line:
    """Return the line through the samples that are known, cut to the stretch."""
    known = np.isfinite(values)
    times, values = times[known], values[known]
    if not len(times) or times[0] > end_s or times[-1] < start_s:
        return _Line(np.empty(0), np.empty(0))
    first_s, last_s = max(start_s, times[0]), min(end_s, times[-1])
    points = np.concatenate(([first_s], times[(times > first_s) & (times < last_s)], [last_s]))
    return _Line(points, np.interp(points, times, values))


def _energy(counter: _Line, power: _Line, stretch_s: float, reasons: Mapping[str, str]) -> Figures:
    why = _why("energy_counter_j", reasons)
    if len(counter.times):
        line, joules, source = counter, float(counter.values[-1] - counter.values[0]), ""
    elif len(power.times):
        line, joules, source = (
            power,
            power.integral(),
            f"integrated from sampled power, as the counter is missing ({why})",
        )
    else:
        return Figures.missing(why, "energy_j")
    if stretch_s <= 0 or line.covered_s < MIN_COVERAGE * stretch_s:
        cause = reasons.get("power_w" if line is power else "energy_counter_j")
        short = f"samples cover {line.covered_s:.2f} s of the {stretch_s:.2f} s"
        return Figures.missing(f"{short}: {cause}" if cause else short, "energy_j")
    if joules <= 0:
        return Figures.missing(f"no energy was counted in {line.covered_s:.2f} s: the stretch is too short", "energy_j")
    return Figures({"energy_j": joules * stretch_s / line.covered_s}, {"energy_j": source} if source else {})


def _why(column: str, reasons: Mapping[str, str]) -> str:
    return reasons.get(column, f"no sample of {column} in the stretch")
