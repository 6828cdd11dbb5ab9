"""Which figures a run's report shows, under which section, and what is said where one cannot be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from harness.records import METRICS, TaskKind
from harness.report import plots
from harness.report.findings import Findings
from harness.report.gate_plots import predicted_against_measured
from harness.report.load import PARAMETER, decoded, parameter_columns
from harness.report.statistics import leading, objective_values
from harness.spec import COST

_CURVES = 4
_SLICES = 6
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

_COSTS = {"latency_p50_ms": "latency p50 (ms)", "parameters": "parameters", "seconds": "seconds of the trial"}


@dataclass(frozen=True)
class Chart:
    """One figure with its title, or the reason for which there is none."""

    title: str
    figure: go.Figure | None
    note: str
    wide: bool = False
    """Takes the whole width instead of a place in a row."""


def draw(findings: Findings) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of every section that has some, by the section's anchor."""
    drawn = {
        "search": tuple(_history(findings)),
        "curves": tuple(_curves(findings)),
        "importances": tuple(_importances(findings)),
        "trade-offs": tuple(_trade_offs(findings)),
        "test": tuple(_test(findings)),
        "gates": tuple(_gates(findings)),
        "telemetry": tuple(_telemetry(findings)),
    }
    return {anchor: charts for anchor, charts in drawn.items() if charts}


def _history(findings: Findings) -> Iterator[Chart]:
    if len(findings.run.trials):
        figure = plots.history(findings.run.trials, findings.metrics[0], maximize=findings.maximize[0])
        note = (
            "Trials that did not complete stand at their best score on validation, or in the strip below without one."
        )
        yield Chart("Every trial and the best so far", figure, note, wide=True)


def _curves(findings: Findings) -> Iterator[Chart]:
    trials = [int(trial) for trial in leading(findings.best, findings.stats["best"], _CURVES)["trial"]]
    epochs = findings.run.epochs[findings.run.epochs["trial"].isin(trials)]
    wanted = [metric for metric in findings.metrics if metric in METRICS]
    for metric in dict.fromkeys([*wanted, "loss"]):
        if epochs[[f"train_{metric}", f"validation_{metric}"]].notna().any(axis=None):
            figure = plots.learning_curves(epochs, trials, metric)
            yield Chart(metric, figure, "Validation solid, training dotted.")


def _importances(findings: Findings) -> Iterator[Chart]:
    known = findings.importances.table[findings.importances.table["importance"].notna()]
    if len(known):
        yield Chart("Permutation importance", plots.importance_bars(findings.importances.table), "", wide=True)
    trials = findings.run.trials
    columns = [f"{PARAMETER}{path}" for path in known["parameter"]] or parameter_columns(trials)
    for column in columns[:_SLICES]:
        if findings.best[column].nunique() > 1:
            yield Chart(column.removeprefix(PARAMETER), plots.parameter_slice(trials, column, findings.metrics[0]), "")


def _trade_offs(findings: Findings) -> Iterator[Chart]:
    best, names = findings.best, findings.metrics
    if best.empty:
        return
    values = objective_values(best, len(names))
    for column in range(1, len(names)):
        pair, maximize = (names[column], names[0]), (findings.maximize[column], findings.maximize[0])
        figure = plots.trade_off(best, values[:, column], values[:, 0], pair, maximize)
        yield Chart(f"{names[0]} and {names[column]}", figure, "")
    judged = {COST[name][1] for name in names if name in COST}
    for cost, title in _COSTS.items():
        if cost in judged:
            continue
        if best[cost].isna().all():
            yield Chart(f"{names[0]} and {title}", None, f"Not drawn: {_missing(findings, cost)}.")
            continue
        x = best[cost].to_numpy(np.float64)
        figure = plots.trade_off(best, x, values[:, 0], (title, names[0]), (False, findings.maximize[0]))
        yield Chart(f"{names[0]} and {title}", figure, "")


def _test(findings: Findings) -> Iterator[Chart]:
    task, test = findings.stats["task"], findings.stats["test"]
    if test is not None and test["confusion"]:
        note = "Rows are actual classes, columns predicted ones; colour is the share of the row."
        yield Chart("Confusion matrix", plots.confusion(test["confusion"], task["classes"]), note)
    samples = findings.run.predictions
    if task["kind"] == TaskKind.REGRESSION and samples is not None and len(samples):
        figure = plots.predicted_against_actual(samples)
        shown = len(figure.data[0].x)
        note = f"{shown:,} of {len(samples):,} samples, evenly spaced." if shown < len(samples) else ""
        yield Chart("Predicted and actual values", figure, note)


def _gates(findings: Findings) -> Iterator[Chart]:
    pairs = findings.gates.pairs
    for title, (unit, names) in _TESTED.items():
        if pairs["name"].isin(list(names)).any():
            yield Chart(title, predicted_against_measured(pairs, names, unit), "")


def _telemetry(findings: Findings) -> Iterator[Chart]:
    samples = findings.run.telemetry
    silent: dict[str, list[str]] = {}
    for title, (unit, meters) in _METERS.items():
        measured = [name for name in meters if samples[name].notna().any()]
        if measured:
            yield Chart(title, plots.telemetry(samples, measured, unit), "")
        for name in meters:
            if name not in measured:
                silent.setdefault(_missing(findings, _FIGURE_OF.get(name, name)), []).append(name)
    if silent:
        note = "; ".join(f"{', '.join(names)}: {why}" for why, names in silent.items())
        yield Chart("Not drawn, for want of values", None, f"{note}.", wide=True)


def _missing(findings: Findings, figure: str) -> str:
    """Return the first reason that any trial gives for a figure being NaN."""
    found = (reasons[figure] for reasons in decoded(findings.run.trials["reasons"]) if figure in reasons)
    return str(next(found, "no reason was recorded"))
