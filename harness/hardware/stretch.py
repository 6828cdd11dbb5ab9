"""Figures of a stretch of time from the samples taken during it and next to it.

Between two samples a quantity is taken to change linearly. At the ends of the stretch it is read off the line between
the samples on either side, so that a stretch shorter than the sampling interval still has figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.records import Figures

Floats = npt.NDArray[np.float64]

MIN_COVERAGE = 0.9
"""Least share of a stretch between first and last sample for its energy to be told; the rest is taken as alike."""

BASELINE_S = 0.5
"""How long the idle machine is watched before work begins."""
MAX_IDLE_UTILIZATION_PERCENT = 5.0
"""A GPU that is busier than this before work begins is not idle."""

_PACKAGE = "package energy of the CPU, whatever else ran there included"

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

    def rise(self) -> float:
        return float(self.values[-1] - self.values[0]) if len(self.values) else 0.0

    def slope(self) -> float:
        return self.rise() / self.covered_s


_NOTHING = _Line(np.empty(0), np.empty(0))


def summarise(
    times: Floats, columns: Mapping[str, Floats], start_s: float, end_s: float, reasons: Mapping[str, str]
) -> Figures:
    """Return means of utilisation and power, peaks of memory and temperature, and the energy used.

    ``times`` (N,) and every column (N,) are samples in Unix seconds and by names of records.TELEMETRY, NaN where a
    sample failed; ``reasons`` says why a column is NaN. Means weigh by time. Energy is the difference of the GPU's
    counter, or, where it has none, the trapezoid integral of power, of the instant if it is known; where no GPU tells
    either, power and energy are those of the processor's packages, if ``columns`` has them. The reason then says so
    although there is a value. A figure whose column has no sample in or around the stretch is NaN with a reason.
    """
    if end_s < start_s:
        raise ValueError(f"the stretch ends {start_s - end_s:.3f} s before it starts")
    lines = _lines(times, columns, start_s, end_s)
    figures = Figures()
    for summary, sources in ((_Line.mean, _MEANS), (lambda line: float(line.values.max()), _PEAKS)):
        for figure, column in sources.items():
            if len(lines[column].times):
                figures |= Figures({figure: summary(lines[column])})
            else:
                figures |= Figures.missing(_why(column, reasons), figure)
    silent = _why("energy_counter_j", reasons)
    if "cpu_energy_j" in columns and "cpu_energy_j" in reasons:
        silent = f"{silent}; {reasons['cpu_energy_j']}"
    return figures | _energy(lines, end_s - start_s, reasons, silent) | _package_power(lines, figures)


def idle_power(times: Floats, columns: Mapping[str, Floats], until_s: float, reasons: Mapping[str, str]) -> Figures:
    """Return ``idle_power_w``, the mean power in W from the first sample up to ``until_s``, when work began.

    NaN with a reason where less than BASELINE_S was seen of it, or the GPU was busy with something else.
    """
    lines = _lines(times, columns, float(times.min(initial=until_s)), until_s)
    power, package = _power(lines)[1], lines["cpu_energy_j"]
    seen_s = max(power.covered_s, package.covered_s)
    busy = lines["gpu_utilization_percent"]
    if not len(power.times) and not len(package.times):
        return Figures.missing(_why("power_w", reasons), "idle_power_w")
    if seen_s < MIN_COVERAGE * BASELINE_S:
        return Figures.missing(f"only {seen_s:.2f} s were seen before the work began", "idle_power_w")
    if len(busy.times) and busy.mean() > MAX_IDLE_UTILIZATION_PERCENT:
        return Figures.missing(f"the GPU was {busy.mean():.0f} % busy before the work began", "idle_power_w")
    if len(power.times):
        return Figures({"idle_power_w": power.mean()})
    return Figures({"idle_power_w": package.slope()}, {"idle_power_w": _PACKAGE})


def _lines(times: Floats, columns: Mapping[str, Floats], start_s: float, end_s: float) -> Mapping[str, _Line]:
    """Return each column cut to the stretch; one that is not there is an empty line."""
    order = np.argsort(times, kind="stable")  # the clock may have been set back
    known = {name: _clip(times[order], values[order], start_s, end_s) for name, values in columns.items()}
    return defaultdict(lambda: _NOTHING, known)


def _clip(times: Floats, values: Floats, start_s: float, end_s: float) -> _Line:
    """Return the line through the samples that are known, cut to the stretch."""
    known = np.isfinite(values)
    times, values = times[known], values[known]
    if not len(times) or times[0] > end_s or times[-1] < start_s:
        return _NOTHING
    first_s, last_s = max(start_s, times[0]), min(end_s, times[-1])
    points = np.concatenate(([first_s], times[(times > first_s) & (times < last_s)], [last_s]))
    return _Line(points, np.interp(points, times, values))


def _energy(lines: Mapping[str, _Line], stretch_s: float, reasons: Mapping[str, str], silent: str) -> Figures:
    column, line, joules, source = _counted(lines, reasons)
    if not len(line.times):
        return Figures.missing(silent, "energy_j")
    if stretch_s <= 0 or line.covered_s < MIN_COVERAGE * stretch_s:
        short = f"samples cover {line.covered_s:.2f} s of the {stretch_s:.2f} s"
        cause = reasons.get(column)
        return Figures.missing(f"{short}: {cause}" if cause else short, "energy_j")
    if joules <= 0:
        return Figures.missing(f"no energy was counted in {line.covered_s:.2f} s: the stretch is too short", "energy_j")
    return Figures({"energy_j": joules * stretch_s / line.covered_s}, {"energy_j": source} if source else {})


def _counted(lines: Mapping[str, _Line], reasons: Mapping[str, str]) -> tuple[str, _Line, float, str]:
    """Return the column that tells the energy best, its line, the joules, and a word on where they come from."""
    counter, package = lines["energy_counter_j"], lines["cpu_energy_j"]
    column, power = _power(lines)
    if len(counter.times):
        return "energy_counter_j", counter, counter.rise(), ""
    if len(power.times):
        why = _why("energy_counter_j", reasons)
        return column, power, power.integral(), f"integrated from sampled power, as the counter is missing ({why})"
    return "cpu_energy_j", package, package.rise(), _PACKAGE


def _power(lines: Mapping[str, _Line]) -> tuple[str, _Line]:
    """Return the power of the GPU at each instant, if that is known, else NVML's average, with its column."""
    column = "power_instant_w" if len(lines["power_instant_w"].times) else "power_w"
    return column, lines[column]


def _package_power(lines: Mapping[str, _Line], figures: Figures) -> Figures:
    """Return the mean power of the processor's packages where no GPU tells its own."""
    package = lines["cpu_energy_j"]
    if np.isfinite(figures.values["power_w"]) or package.rise() <= 0:
        return Figures()
    return Figures({"power_w": package.slope()}, {"power_w": _PACKAGE})


def _why(column: str, reasons: Mapping[str, str]) -> str:
    return reasons.get(column, f"no sample of {column} in the stretch")
