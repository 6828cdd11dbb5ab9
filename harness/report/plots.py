"""The figures of a report, each a function from frames to one Plotly figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from harness.records import NAN, Outcome
from harness.report.axes import bulk, robust_scale, scale, whole_ticks
from harness.report.canvas import (
    COLOURS,
    FRONT_COLOUR,
    OUTCOME_STYLE,
    add_by_architecture,
    cycled,
    empty_figure,
    floats,
    label,
    points,
)
from harness.report.statistics import best_so_far, ended
from harness.report.wording import number, setting, short_names
from harness.study.pareto import Floats, pareto_front

SHOWN_SAMPLES = 2000
"""Points of a scatter of predictions, evenly spaced over more."""

_SHOWN_TIMES = 600
_SHOWN_CLASSES = 20


def history(trials: pd.DataFrame, metric: str, *, maximize: bool) -> go.Figure:
    """Draw every trial's first objective and the best so far; trials that never scored stand in a strip below."""
    figure = empty_figure(360, x="trial", y=label(metric))
    shown = trials["value"].to_numpy(np.float64)
    fallback = f"validation_{metric}"
    if fallback in trials.columns:
        shown = np.where(ended(trials, Outcome.COMPLETE), shown, trials[fallback].to_numpy(np.float64))
    shown = np.where(np.isfinite(shown), shown, NAN)
    for outcome, (colour, symbol) in OUTCOME_STYLE.items():
        mine = ended(trials, Outcome(outcome))
        for scored in (True, False):
            rows = mine & (np.isfinite(shown) == scored)
            if rows.any():
                figure.add_scatter(
                    x=trials["trial"][rows].tolist(),
                    y=floats(shown[rows]) if scored else [0] * int(rows.sum()),
                    yaxis="y" if scored else "y2",
                    **points(trials[rows], colour, symbol, name=str(outcome)),
                    legendgroup=str(outcome),
                    showlegend=scored or not (mine & np.isfinite(shown)).any(),
                )
    best = best_so_far(trials["value"].to_numpy(np.float64), maximize=maximize)
    if np.isfinite(best).any():
        line = {"color": FRONT_COLOUR, "width": 2, "shape": "hv"}
        where = {"x": trials["trial"].tolist(), "y": floats(best), "mode": "lines"}
        figure.add_scatter(**where, line=line, name="best so far", hoverinfo="skip")
    figure.update_layout(xaxis=whole_ticks(len(trials)), yaxis=robust_scale(shown))
    if not np.isfinite(shown).all():
        strip = {"domain": [0, 0.1], "range": [-1, 1], "tickvals": [0], "ticktext": ["no score"], "showgrid": False}
        figure.update_layout(xaxis={"anchor": "y2"}, yaxis={"domain": [0.16, 1]}, yaxis2=strip)
    if not np.isfinite(shown).any():
        figure.update_layout(height=140, yaxis={"visible": False}, yaxis2={"domain": [0, 1]})
    return figure


def learning_curves(epochs: pd.DataFrame, trials: Sequence[int], metric: str) -> go.Figure:
    """Draw a metric over the epochs of a few trials, as the mean of their folds: validation solid, training dotted."""
    figure = empty_figure(300, x="epoch", y=label(metric))
    drawn = []
    for position, trial in enumerate(trials):
        scores = epochs.loc[epochs["trial"] == trial, ["epoch", f"validation_{metric}", f"train_{metric}"]]
        mine = scores.groupby("epoch", as_index=False).mean()
        for part, dash in (("validation", "solid"), ("train", "dot")):
            values = mine[f"{part}_{metric}"].to_numpy(np.float64)
            if not np.isfinite(values).any():
                continue
            drawn.append(values)
            figure.add_scatter(
                x=mine["epoch"].tolist(),
                y=floats(values),
                mode="lines+markers" if len(mine) == 1 else "lines",
                line={"color": cycled(COLOURS, position), "dash": dash, "width": 2 if part == "validation" else 1.5},
                name=f"trial {trial}",
                legendgroup=str(trial),
                showlegend=part == "validation",
                hovertemplate=f"trial {trial}, {part}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            )
    figure.update_layout(
        xaxis=whole_ticks(int(epochs["epoch"].max())), yaxis=robust_scale(np.concatenate([[], *drawn])), showlegend=True
    )
    return figure


def importance_bars(table: pd.DataFrame, limit: int = 12) -> go.Figure:
    """Draw the most important parameters as bars with the spread of the shuffles."""
    shown = table[table["importance"].notna()].head(limit).iloc[::-1]
    names = short_names(list(table["parameter"]))
    figure = empty_figure(70 + 24 * len(shown), x="drop in R² when shuffled", y="")
    figure.add_bar(
        x=floats(shown["importance"]),
        y=list(range(len(shown))),
        error_x={"type": "data", "array": floats(shown["spread"]), "thickness": 1, "width": 3, "color": COLOURS[-1]},
        orientation="h",
        marker={"color": COLOURS[0]},
        text=[
            f"{label(path, 60)}: {number(value)}"
            for path, value in zip(shown["parameter"], shown["importance"], strict=True)
        ],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
    ticks = [label(names[path]) for path in shown["parameter"]]
    low, high = min(0.0, float(shown["importance"].min())), float((shown["importance"] + shown["spread"]).max())
    figure.update_layout(xaxis={"range": floats([1.03 * low, 1.03 * high])})
    figure.update_layout(yaxis={"tickvals": list(range(len(shown))), "ticktext": ticks, "showgrid": False})
    return figure


def parameter_slice(trials: pd.DataFrame, column: str, metric: str, *, log: bool = False) -> go.Figure:
    """Draw the first objective of the complete trials over one parameter, coloured by architecture.

    ``log`` says that the parameter was sampled by its logarithm.
    """
    present = trials[ended(trials, Outcome.COMPLETE) & trials[column].notna() & trials["value"].notna()]
    figure = empty_figure(220, x="", y=label(metric))
    numeric = pd.api.types.is_numeric_dtype(present[column].dtype) and not pd.api.types.is_bool_dtype(present[column])
    if numeric:
        places = present[column].to_numpy(np.float64)
        figure.update_layout(xaxis=scale(places, log=log))
    else:
        levels = sorted({str(value) for value in present[column]})
        places = np.array([levels.index(str(value)) for value in present[column]], dtype=np.float64)
        ticks = [label(setting(level), 14) for level in levels]
        axis = {"tickvals": list(range(len(levels))), "ticktext": ticks, "range": [-0.5, len(levels) - 0.5]}
        figure.update_layout(xaxis=axis)
    add_by_architecture(figure, present, trials, places, present["value"].to_numpy(np.float64))
    figure.update_layout(yaxis=robust_scale(present["value"].to_numpy(np.float64)), showlegend=False)
    return figure


def trade_off(
    trials: pd.DataFrame,
    x: Floats,
    y: Floats,
    names: tuple[str, str],
    maximize: tuple[bool, bool],
    *,
    height: int = 300,
) -> go.Figure:
    """Draw two figures of the same trials against each other, with the Pareto front of the pair.

    ``x`` and ``y`` hold one value a trial, ``names`` and ``maximize`` are of x and y in this order. At each x the line
    has the best y of the trials that are at least as good in x: so which way its steps go depends on the direction of x
    alone.
    """
    figure = empty_figure(height, x=label(names[0], 40), y=label(names[1], 40))
    known = np.isfinite(x) & np.isfinite(y)
    add_by_architecture(figure, trials[known], trials, x[known], y[known])
    front = pareto_front(np.column_stack([x, y]), maximize) & known
    order = np.lexsort((y[front], x[front]))
    figure.add_scatter(
        x=floats(x[front][order]),
        y=floats(y[front][order]),
        mode="lines",
        line={
            "color": FRONT_COLOUR,
            "width": 1.5,
            "dash": "dash",
            "shape": "vh" if maximize[0] else "hv",
        },
        name="Pareto front",
        hoverinfo="skip",
    )
    figure.update_layout(xaxis=robust_scale(x[known]), yaxis=robust_scale(y[known]), showlegend=True)
    return figure


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> go.Figure:
    """Draw a confusion matrix, actual classes as rows; colour is the share of the row, text the number of samples."""
    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    size = len(counts)
    names = [label(name, 16) for name in classes]
    hover = [
        [f"actual {names[i]}, predicted {names[j]}: {count:,.0f} ({shares[i, j]:.1%})" for j, count in enumerate(row)]
        for i, row in enumerate(counts)
    ]
    figure = empty_figure(min(160 + 34 * size, 620), x="predicted", y="actual")
    figure.add_heatmap(
        z=shares.round(4).tolist(),
        autocolorscale=True,
        zmin=0,
        zmax=1,
        text=[[f"{count:,.0f}" for count in row] for row in counts],
        texttemplate="%{text}" if size <= _SHOWN_CLASSES else "",
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
        xgap=1,
        ygap=1,
        showscale=False,
    )
    every = math.ceil(size / _SHOWN_CLASSES)
    ticks = {"tickvals": list(range(0, size, every)), "ticktext": names[::every], "showgrid": False}
    figure.update_layout(xaxis=ticks, yaxis={**ticks, "autorange": "reversed"})
    return figure


def predicted_against_actual(actual: pd.Series, guessed: pd.Series) -> go.Figure:
    """Draw predicted over actual values with the line on which both agree."""
    step = max(1, math.ceil(len(actual) / SHOWN_SAMPLES))
    target, predicted = (values.to_numpy(np.float64)[::step] for values in (actual, guessed))
    figure = empty_figure(420, x="actual", y="predicted")
    marker = {"color": COLOURS[0], "size": 5, "opacity": 0.5}
    figure.add_scatter(
        x=floats(target), y=floats(predicted), mode="markers", marker=marker, name="sample", showlegend=False
    )
    ends = floats([target.min(), target.max()])
    line = {"color": FRONT_COLOUR, "dash": "dash", "width": 1.5}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=line, name="exact", hoverinfo="skip")
    if near := bulk(predicted[np.isfinite(predicted)]):
        low, high = min(near[0], target.min()), max(near[1], target.max())
        room = 0.03 * (high - low)
        figure.update_layout(yaxis={"range": floats([low - room, high + room])})
    return figure


def telemetry(samples: pd.DataFrame, columns: Sequence[str], unit: str) -> go.Figure:
    """Draw meters over the time of the run, as means of equal stretches where there are too many samples."""
    ordered = samples.sort_values("time_unix_s", kind="stable")
    bins = np.arange(len(ordered)) // max(1, math.ceil(len(ordered) / _SHOWN_TIMES))
    means = ordered[["time_unix_s", *columns]].groupby(bins).mean()
    seconds = means["time_unix_s"].to_numpy(np.float64) - float(ordered["time_unix_s"].iloc[0])
    figure = empty_figure(240, x="seconds since the first sample", y=unit)
    for position, name in enumerate(columns):
        line = {"color": cycled(COLOURS, position), "width": 1.5}
        figure.add_scatter(x=floats(seconds), y=floats(means[name]), mode="lines", line=line, name=_plain(name, unit))
    figure.update_layout(showlegend=True, yaxis={"rangemode": "tozero"})
    return figure


def _plain(name: str, unit: str) -> str:
    """Return a meter's name without the unit that the axis carries already."""
    ends = {"%": "_percent", "MiB": "_mib", "W": "_w", "°C": "_c", "MHz": "_mhz", "MB/s": "_mb_s"}
    return name.removesuffix(ends[unit]).replace("_", " ")
