"""Which figures a run's report shows, under which section, and what is said where one cannot be drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.problems.quantile_scores import PREFIX, levels_in
from harness.report import forecast_plots, quality_plots, quantile_plots, search_charts, time_plots
from harness.report.canvas import SHOWN_TRIALS
from harness.report.chart import Chart
from harness.report.findings import Findings
from harness.report.gate_plots import predicted_against_measured
from harness.report.load import value_suffixes
from harness.report.remarks import why_missing
from harness.report.wording import percent, plural

__all__ = ["Chart", "draw"]

_METERS = {
    "Load": ("%", ("cpu_percent", "gpu_utilization_percent", "memory_utilization_percent")),
    "Pressure": ("%", ("cpu_pressure_percent", "memory_pressure_percent")),
    "Memory": ("MiB", ("memory_rss_mib", "memory_device_mib", "memory_process_mib", "memory_reserved_mib")),
    "Power": ("W", ("power_w", "power_instant_w")),
    "Temperature": ("°C", ("temperature_c",)),
    "Clocks": ("MHz", ("sm_clock_mhz", "memory_clock_mhz")),
    "PCIe traffic": ("MB/s", ("pcie_rx_mb_s", "pcie_tx_mb_s")),
}
_FIGURE_OF = {
    "memory_utilization_percent": "gpu_utilization_percent",
    "memory_rss_mib": "memory_rss_peak_mib",
    "memory_device_mib": "memory_device_peak_mib",
    "memory_process_mib": "memory_process_peak_mib",
    "memory_reserved_mib": "memory_device_peak_mib",
    "power_instant_w": "power_w",
    "sm_clock_mhz": "gpu_utilization_percent",
    "memory_clock_mhz": "gpu_utilization_percent",
    "pcie_rx_mb_s": "gpu_utilization_percent",
    "pcie_tx_mb_s": "gpu_utilization_percent",
}
"""The figure of a trial that lacks a value for the same reason as a meter does."""

_TESTED = {
    "Latency": ("ms", {"latency_ms": "trial"}),
    "Memory": ("MiB", {"memory_mb": "probe", "static_memory_mb": "tensors"}),
    "Epoch": ("s", {"epoch_s": "trial"}),
    "Energy": ("J/sample", {"energy_j_per_sample": "trial"}),
}
"""Figures of predictions that were put to the test: the unit, and the predictions by what they are called."""


def draw(findings: Findings) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of every section that has some, by the section's anchor."""
    drawn = {
        "front": tuple(search_charts.front(findings)),
        "search": tuple(search_charts.history(findings)),
        "curves": tuple(search_charts.curves(findings)),
        "importances": tuple(search_charts.importances(findings)),
        "trade-offs": tuple(search_charts.trade_offs(findings)),
        "test": tuple(_test(findings)),
        "outcomes": tuple(_outcomes(findings)),
        "gates": tuple(_gates(findings)),
        "telemetry": tuple(_telemetry(findings)),
    }
    return {anchor: charts for anchor, charts in drawn.items() if charts}


def _test(findings: Findings) -> Iterator[Chart]:
    task, test = findings.stats["task"], findings.stats["test"]
    if test is not None and test["confusion"]:
        note = "Rows are actual classes, columns predicted ones; colour is the share of the row."
        yield Chart("Confusion matrix", quality_plots.confusion(test["confusion"], task["classes"]), note)
    if findings.problem.calibrated:
        yield from _reliability(findings)
    if findings.problem.figure == "predicted_against_actual":
        yield from _values(findings)
    if findings.problem.figure == "quantiles":
        yield from _quantiles(findings)
    if findings.problem.figure == "forecast":
        yield from _forecasts(findings)


def _reliability(findings: Findings) -> Iterator[Chart]:
    samples, test = findings.run.predictions, findings.stats["test"]
    names = [] if samples is None else [name for name in samples.columns if name.startswith("probability_")]
    if samples is None or samples.empty or not names:
        return
    shares = samples[names].to_numpy(np.float64)
    confidence = shares.max(axis=1)
    # At a threshold the prediction is not always the class that the confidence is of.
    decided = test is not None and "threshold" in test
    predicted = shares.argmax(axis=1) if decided else samples["predicted"].to_numpy()
    right = (predicted == samples["target"].to_numpy()).astype(np.bool_)
    note = f"Mean confidence {percent(float(confidence.mean()))}, accuracy {percent(float(right.mean()))}."
    yield Chart("Reliability", quality_plots.reliability(confidence, right), note)


def _values(findings: Findings) -> Iterator[Chart]:
    samples = findings.run.predictions
    if samples is None or samples.empty:
        return
    for suffix in value_suffixes(samples):
        actual, predicted = (samples[f"{what}{suffix}"] for what in ("target", "predicted"))
        figure = quality_plots.predicted_against_actual(actual, predicted)
        shown = len(figure.data[0]["x"])
        note = f"{shown:,} of {len(samples):,} samples, evenly spaced." if shown < len(samples) else ""
        of = suffix.replace("_", " of ", 1)
        yield Chart(f"Predicted and actual values{of}", figure, note)
        sides = (actual.to_numpy(np.float64), predicted.to_numpy(np.float64))
        yield Chart(f"Residuals{of}", quality_plots.residuals(*sides), note)
        yield Chart(f"Distribution of residuals{of}", quality_plots.residual_histogram(*sides), "")


def _quantiles(findings: Findings) -> Iterator[Chart]:
    samples = findings.run.predictions
    if samples is None or samples.empty or not (levels := levels_in(samples.columns)):
        return
    actual, quantiles = samples["target"], samples[[name for name in samples.columns if name.startswith(PREFIX)]]
    note = "On the line as many values lie below a quantile as it promises. Bars are 95 % intervals."
    yield Chart("Values below each quantile", quantile_plots.shares_below(actual, quantiles, levels), note)
    if len(levels) > 1:
        figure = quantile_plots.between(actual, samples["predicted"], quantiles)
        shown = len(figure.data[0]["x"])
        note = f"{shown:,} of {len(samples):,} samples, evenly spaced." if shown < len(samples) else ""
        yield Chart("Quantiles and actual values", figure, note)


def _forecasts(findings: Findings) -> Iterator[Chart]:
    samples = findings.run.predictions
    if samples is None or "drawn" not in samples:
        return
    for _, row in samples[samples["drawn"] != ""].head(forecast_plots.SHOWN).iterrows():
        of = f" of {row['series']}" if "series" in row else ""
        note = "The past is what the model looked back on."
        yield Chart(f"Forecast{of} from {row['time']}", forecast_plots.forecast(row), note, wide=True)


def _outcomes(findings: Findings) -> Iterator[Chart]:
    if findings.book.device_s > 0:
        yield Chart("Device-seconds by outcome", time_plots.ledger_bars(findings.book), "")


def _gates(findings: Findings) -> Iterator[Chart]:
    pairs = findings.gates.pairs
    for title, (unit, names) in _TESTED.items():
        if pairs["name"].isin(list(names)).any():
            yield Chart(title, predicted_against_measured(pairs, names, unit), "")


def _telemetry(findings: Findings) -> Iterator[Chart]:
    samples, trials = findings.run.telemetry, findings.run.trials
    ran = trials[(trials["seconds"] > 0) & trials["started_unix_s"].notna()]
    if len(ran):
        note = (
            "A bar is a trial, from its start and as long as its device-seconds; those at once lie side by side. "
            "Those that were trained in one program follow each other, each with its share."
        )
        few = f" The longest {SHOWN_TRIALS:,} of {plural(len(ran), 'trial')}." if len(ran) > SHOWN_TRIALS else ""
        longest = ran.sort_values("seconds", ascending=False, kind="stable").head(SHOWN_TRIALS)
        yield Chart("Trials and load over time", time_plots.timeline(longest, samples), f"{note}{few}", wide=True)
    silent: dict[str, list[str]] = {}
    for title, (unit, meters) in _METERS.items():
        measured = [name for name in meters if samples[name].notna().any()]
        if measured:
            yield Chart(title, time_plots.telemetry(samples, measured, unit), "")
        for name in meters:
            if name not in measured:
                silent.setdefault(why_missing(trials, _FIGURE_OF.get(name, name)), []).append(name)
    if silent:
        note = "; ".join(f"{', '.join(names)}: {why}" for why, names in silent.items())
        yield Chart("Not measured on this machine", None, f"{note}.", wide=True)
