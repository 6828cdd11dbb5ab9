"""Which figures a run's report shows, under which section, and what is said where one cannot be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from harness.report import plots
from harness.report.axes import outside
from harness.report.findings import Findings
from harness.report.gate_plots import predicted_against_measured
from harness.report.load import PARAMETER, decoded, parameter_columns, value_suffixes
from harness.report.statistics import leading, objective_values
from harness.report.wording import plural
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

_PARTS = "Solid: validation. Dotted: training, averaged over the epoch with dropout and augmentation on."
_HISTORY = "Every trial and the best so far"
_COSTS = {"latency_p50_ms": "latency p50 (ms)", "parameters": "parameters", "seconds": "seconds of the trial"}


@dataclass(frozen=True)
class Chart:
    """One figure with its title, or the reason for which there is none."""

    title: str
    figure: go.Figure | None
    note: str
    wide: bool = False
    """Takes the whole width instead of a place in a row."""

    @property
    def caption(self) -> str:
        """The note, and how many points the axes leave out, so that no figure can do so unsaid."""
        left_out = outside(self.figure) if self.figure is not None else 0
        if not left_out:
            return self.note
        lie, it = ("lies", "it") if left_out == 1 else ("lie", "them")
        words = f"{plural(left_out, 'point')} {lie} partly or wholly outside of the axes; double-click to see {it}."
        return f"{self.note} {words}".strip()


def draw(findings: Findings) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of every section that has some, by the section's anchor."""
    drawn = {
        "front": tuple(_front(findings)),
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
        first = findings.metrics[0]
        note = "Trials that did not complete are drawn at their best validation score, or below the axis without one."
        title = f"{first} of every trial and the best {first} so far" if findings.several else _HISTORY
        yield Chart(title, figure, note, wide=True)


def _curves(findings: Findings) -> Iterator[Chart]:
    chosen = leading(findings.best, findings.stats["best"], _CURVES, word=findings.chosen_word)
    trials = [int(trial) for trial in chosen["trial"]]
    epochs = findings.run.epochs[findings.run.epochs["trial"].isin(trials)]
    wanted = [metric for metric in findings.metrics if metric not in COST]
    for metric in dict.fromkeys([*wanted, "loss"]):
        if epochs[[f"train_{metric}", f"validation_{metric}"]].notna().any(axis=None):
            figure = plots.learning_curves(epochs, trials, metric)
            yield Chart(metric, figure, f"{_PARTS} {_loss_caveat(chosen)}".strip() if metric == "loss" else _PARTS)


def _loss_caveat(chosen: pd.DataFrame) -> str:
    """Say of which trials the training loss is another quantity than the validation loss, and why."""
    candidates = dict(zip(chosen["trial"], decoded(chosen["candidate"]), strict=True))
    differs = {
        "label smoothing": [trial for trial, each in candidates.items() if each.get("label_smoothing")],
        "class weights": [trial for trial, each in candidates.items() if each.get("class_weights") == "balanced"],
        "mixup": [trial for trial, each in candidates.items() if (each.get("augment") or {}).get("mixup")],
    }
    parts = [f"{name} ({_numbered(trials)})" for name, trials in differs.items() if trials]
    if not parts:
        return ""
    return f"The training loss includes {' and '.join(parts)}, the validation loss does not: do not compare the two."


def _numbered(trials: Sequence[int]) -> str:
    return f"{'trial' if len(trials) == 1 else 'trials'} {', '.join(map(str, trials))}"


def _importances(findings: Findings) -> Iterator[Chart]:
    known = findings.importances.table[findings.importances.table["importance"].notna()]
    if len(known):
        yield Chart("Permutation importance", plots.importance_bars(findings.importances.table), "", wide=True)
    trials = findings.run.trials
    columns = [f"{PARAMETER}{path}" for path in known["parameter"]] or parameter_columns(trials)
    for column in columns[:_SLICES]:
        if findings.best[column].nunique() > 1:
            path = column.removeprefix(PARAMETER)
            log = path in findings.run.log_sampled
            yield Chart(path, plots.parameter_slice(trials, column, findings.metrics[0], log=log), "")


def _front(findings: Findings) -> Iterator[Chart]:
    """Yield the first objective over each other one, with the front of the pair."""
    best, names = findings.best, findings.metrics
    if best.empty or not findings.several:
        return
    values = objective_values(best, len(names))
    for column in range(1, len(names)):
        pair, maximize = (names[column], names[0]), (findings.maximize[column], findings.maximize[0])
        figure = plots.trade_off(best, values[:, column], values[:, 0], pair, maximize, height=460)
        directions = " and ".join(
            f"{'more' if more else 'less'} {name}" for name, more in zip(pair, maximize, strict=True)
        )
        note = f"Better: {directions}. The line bounds what was reached in these two."
        yield Chart(f"{names[0]} and {names[column]}", figure, note, wide=True)


def _trade_offs(findings: Findings) -> Iterator[Chart]:
    """Yield the first objective over what a trial costs."""
    best, names = findings.best, findings.metrics
    if best.empty:
        return
    first = objective_values(best, len(names))[:, 0]
    judged = {COST[name][1] for name in names if name in COST}
    for cost, title in _COSTS.items():
        if cost in judged:
            continue
        if best[cost].isna().all():
            yield Chart(f"{names[0]} and {title}", None, f"Not drawn: {_missing(findings, cost)}.")
            continue
        x = best[cost].to_numpy(np.float64)
        figure = plots.trade_off(best, x, first, (title, names[0]), (False, findings.maximize[0]))
        yield Chart(f"{names[0]} and {title}", figure, "")


def _test(findings: Findings) -> Iterator[Chart]:
    task, test = findings.stats["task"], findings.stats["test"]
    if test is not None and test["confusion"]:
        note = "Rows are actual classes, columns predicted ones; colour is the share of the row."
        yield Chart("Confusion matrix", plots.confusion(test["confusion"], task["classes"]), note)
    samples = findings.run.predictions
    if findings.problem.figure == "predicted_against_actual" and samples is not None and len(samples):
        for suffix in value_suffixes(samples):
            figure = plots.predicted_against_actual(samples[f"target{suffix}"], samples[f"predicted{suffix}"])
            shown = len(figure.data[0].x)
            note = f"{shown:,} of {len(samples):,} samples, evenly spaced." if shown < len(samples) else ""
            yield Chart(f"Predicted and actual values{suffix.replace('_', ' of ', 1)}", figure, note)


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
        yield Chart("Not measured on this machine", None, f"{note}.", wide=True)


def _missing(findings: Findings, figure: str) -> str:
    """Return the first reason that any trial gives for a figure being NaN."""
    found = (reasons[figure] for reasons in decoded(findings.run.trials["reasons"]) if figure in reasons)
    return str(next(found, "no reason was recorded"))
