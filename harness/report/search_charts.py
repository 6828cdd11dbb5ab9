"""The charts of what was searched: trials, their curves, their parameters, and what they trade off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice

import numpy as np
import pandas as pd

from harness.report import parameter_plots, plots
from harness.report.canvas import SHOWN_TRIALS, thinned
from harness.report.chart import Chart
from harness.report.findings import Findings
from harness.report.load import PARAMETER, decoded, parameter_columns
from harness.report.remarks import why_missing
from harness.report.statistics import leading, objective_values
from harness.spec import COST

_CURVES = 4
_ALL_CURVES = 200
_SLICES = 6
_LINES = 300
_AXES = 7
_COMMON = 0.5
"""Share of the complete trials that a parameter must exist in to have an axis: the lines of others have a gap there."""
_LEAST_LINES = 5
_CONTOURS = 3
_CONTOURS_OF = 6
"""The most important numeric parameters, of which pairs that exist together have contours."""
_LEAST_POINTS = 12

_PARTS = "Solid: validation. Dotted: training, averaged over the epoch with dropout and augmentation on."
_HISTORY = "Every trial and the best so far"
_COSTS = {"latency_p50_ms": "latency p50 (ms)", "parameters": "parameters", "seconds": "seconds of the trial"}


def history(findings: Findings) -> Iterator[Chart]:
    """Yield the objective over the trials."""
    trials, first = findings.run.trials, findings.metrics[0]
    if len(trials):
        figure = plots.history(trials, first, maximize=findings.maximize[0])
        note = "Trials that did not complete are drawn at their best validation score, or below the axis without one."
        title = f"{first} of every trial and the best {first} so far" if findings.several else _HISTORY
        yield Chart(title, figure, f"{note}{_of_many(len(trials))}", wide=True)


def _of_many(count: int, shown: int = SHOWN_TRIALS, how: str = "drawn at random") -> str:
    return f" About {shown:,} of {count:,} are shown, {how}." if count > shown else ""


def curves(findings: Findings) -> Iterator[Chart]:
    """Yield the leading trials' curves of each objective and the loss, then those of all trials, pruned ones too."""
    chosen = leading(findings.best, findings.stats["best"], _CURVES, word=findings.chosen_word)
    trials = [int(trial) for trial in chosen["trial"]]
    epochs = findings.run.epochs[findings.run.epochs["trial"].isin(trials)]
    wanted = [metric for metric in findings.metrics if metric not in COST]
    for metric in dict.fromkeys([*wanted, "loss"]):
        if epochs[[f"train_{metric}", f"validation_{metric}"]].notna().any(axis=None):
            figure = plots.learning_curves(epochs, trials, metric)
            yield Chart(metric, figure, f"{_PARTS} {_loss_caveat(chosen)}".strip() if metric == "loss" else _PARTS)
    yield from _every_curve(findings, (wanted or ["loss"])[0])


def _every_curve(findings: Findings, metric: str) -> Iterator[Chart]:
    known = findings.run.epochs.dropna(subset=[f"validation_{metric}"])
    numbers = sorted({int(trial) for trial in known["trial"]})
    if len(numbers) < 2:
        return
    best = [int(trial) for trial in findings.best["trial"]]
    drawable = set(numbers)
    chosen = _spread([trial for trial in best if trial in drawable], numbers, _ALL_CURVES)
    figure = plots.every_curve(known[known["trial"].isin(chosen)], findings.run.trials, metric)
    note = "A curve that ends early is of a trial that was pruned, stopped early or failed."
    how = "the best ones and others evenly spaced"
    yield Chart(f"{metric} of all trials", figure, f"{note}{_of_many(len(numbers), len(chosen), how)}", wide=True)


def _spread(best: Sequence[int], numbers: Sequence[int], limit: int) -> set[int]:
    """Return at most ``limit`` of the numbers: half of them the first of ``best``, the others evenly spaced."""
    if len(numbers) <= limit:
        return set(numbers)
    first = set(best[: limit // 2])
    places = np.linspace(0, len(numbers) - 1, limit - len(first)).astype(int)
    return first | {numbers[place] for place in places}


def _loss_caveat(chosen: pd.DataFrame) -> str:
    """Say of which trials the training loss is another quantity than the validation loss, and why."""
    candidates = dict(zip(chosen["trial"], decoded(chosen["candidate"]), strict=True))
    differs = {
        "label smoothing": [trial for trial, each in candidates.items() if each.get("label_smoothing")],
        "class weights": [trial for trial, each in candidates.items() if each.get("class_weights") == "balanced"],
        "balanced sampling": [trial for trial, each in candidates.items() if each.get("sampling") == "balanced"],
        **{
            name: [trial for trial, each in candidates.items() if (each.get("augment") or {}).get(name)]
            for name in ("mixup", "cutmix")
        },
    }
    parts = [f"{name} ({_numbered(trials)})" for name, trials in differs.items() if trials]
    if not parts:
        return ""
    return f"The training loss includes {' and '.join(parts)}, the validation loss does not: do not compare the two."


def _numbered(trials: Sequence[int]) -> str:
    return f"{'trial' if len(trials) == 1 else 'trials'} {', '.join(map(str, trials))}"


def importances(findings: Findings) -> Iterator[Chart]:
    """Yield both importances, then the objective over one parameter, over all of them, and over two."""
    if len(findings.importances.table["importance"].dropna()):
        figure = plots.importance_bars(findings.importances.table)
        yield Chart("Permutation importance", figure, "", wide=not findings.ped_anova.shares)
    if shares := findings.ped_anova.shares:
        note = f"Share in what sets the best {findings.ped_anova.best} trials apart from all others."
        yield Chart("PED-ANOVA", plots.parameter_bars(shares, "share"), note)
    varied = [name for name in _by_importance(findings) if findings.best[name].nunique() > 1]
    yield from _parallel(findings, [name for name in varied if findings.best[name].notna().mean() >= _COMMON][:_AXES])
    log, first = findings.run.log_sampled, findings.metrics[0]
    for column in varied[:_SLICES]:
        path = column.removeprefix(PARAMETER)
        yield Chart(path, plots.parameter_slice(findings.best, column, first, log=path in log), "")
    yield from _contours(findings, varied)


def _by_importance(findings: Findings) -> list[str]:
    """Return the columns of parameters, the most important first: by the forest, else by PED-ANOVA."""
    table = findings.importances.table.dropna(subset=["importance"])
    paths = list(table["parameter"]) or list(findings.ped_anova.shares)
    return [f"{PARAMETER}{path}" for path in paths] or parameter_columns(findings.run.trials)


def _parallel(findings: Findings, columns: Sequence[str]) -> Iterator[Chart]:
    trials = findings.best.dropna(subset=["value"])
    if findings.several:  # ranked by the front, and a line is coloured by the first objective
        trials = trials.sort_values("value", ascending=not findings.maximize[0], kind="stable")
    if len(columns) < 2 or len(trials) < _LEAST_LINES:
        return
    chosen = _spread(range(len(trials)), range(len(trials)), _LINES)
    figure = parameter_plots.parallel(
        trials.iloc[sorted(chosen)], columns, findings.metrics[0], log=_log_columns(findings)
    )
    note = f"A line is a complete trial.{_of_many(len(trials), _LINES, 'the best ones and others evenly spaced')}"
    yield Chart("Parallel coordinates", figure, note, wide=True)


def _contours(findings: Findings, columns: Sequence[str]) -> Iterator[Chart]:
    """Yield the first pairs of numeric parameters, in the order of their importance, that enough trials have both."""
    numeric = [name for name in columns if parameter_plots.is_numeric(findings.best[name])][:_CONTOURS_OF]
    yield from islice((chart for pair in combinations(numeric, 2) for chart in _contour(findings, pair)), _CONTOURS)


def _contour(findings: Findings, pair: tuple[str, str]) -> Iterator[Chart]:
    present = findings.best.dropna(subset=[*pair, "value"])
    if len(present) < _LEAST_POINTS:
        return
    few = present[thinned(np.zeros(len(present), dtype=np.bool_))]
    maximize, log = findings.maximize[0], _log_columns(findings)
    figure = parameter_plots.contour(few, pair, findings.metrics[0], maximize=maximize, log=log)
    if figure is not None:
        names = " and ".join(name.removeprefix(PARAMETER) for name in pair)
        note = f"Interpolated between trials (points); darker is better.{_of_many(len(present))}"
        yield Chart(names, figure, note)


def _log_columns(findings: Findings) -> set[str]:
    return {f"{PARAMETER}{path}" for path in findings.run.log_sampled}


def front(findings: Findings) -> Iterator[Chart]:
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
        note = f"Better: {directions}. The line bounds what was reached in these two.{_of_many(len(best))}"
        yield Chart(f"{names[0]} and {names[column]}", figure, note, wide=True)


def trade_offs(findings: Findings) -> Iterator[Chart]:
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
            yield Chart(f"{names[0]} and {title}", None, f"Not drawn: {why_missing(findings.run.trials, cost)}.")
            continue
        x = best[cost].to_numpy(np.float64)
        figure = plots.trade_off(best, x, first, (title, names[0]), (False, findings.maximize[0]))
        yield Chart(f"{names[0]} and {title}", figure, _of_many(len(best)).strip())
