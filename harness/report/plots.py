"""The figures of a report, each a function from frames to one Plotly figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.records import NAN, Outcome
from harness.report.axes import robust_scale, scale, whole_ticks
from harness.report.canvas import (
    COLOURS,
    FRONT_COLOUR,
    OUTCOME_STYLE,
    add_by_architecture,
    corners,
    cycled,
    empty_figure,
    floats,
    label,
    points,
    thinned,
    turns,
)
from harness.report.figure import Figure
from harness.report.parameter_plots import is_numeric
from harness.report.statistics import best_so_far, ended
from harness.report.wording import number, setting, short_names
from harness.study.pareto import Floats, pareto_front


def history(trials: pd.DataFrame, metric: str, *, maximize: bool) -> Figure:
    """Draw every trial's first objective and the best so far; trials that never scored stand in a strip below."""
    figure = empty_figure(360, x="trial", y=label(metric))
    shown = trials["value"].to_numpy(np.float64)
    fallback = f"validation_{metric}"
    if fallback in trials.columns:
        shown = np.where(ended(trials, Outcome.COMPLETE), shown, trials[fallback].to_numpy(np.float64))
    shown = np.where(np.isfinite(shown), shown, NAN)
    best = best_so_far(trials["value"].to_numpy(np.float64), maximize=maximize)
    drawn = thinned(turns(best))
    for outcome, (colour, symbol) in OUTCOME_STYLE.items():
        mine = ended(trials, Outcome(outcome))
        for scored in (True, False):
            rows = drawn & mine & (np.isfinite(shown) == scored)
            if rows.any():
                figure.add(
                    "scatter",
                    x=trials["trial"][rows].tolist(),
                    y=floats(shown[rows]) if scored else [0] * int(rows.sum()),
                    yaxis="y" if scored else "y2",
                    **points(trials[rows], colour, symbol, name=str(outcome)),
                    legendgroup=str(outcome),
                    showlegend=scored or not (drawn & mine & np.isfinite(shown)).any(),
                )
    if np.isfinite(best).any():
        line = {"color": FRONT_COLOUR, "width": 2, "shape": "hv"}
        kept = corners(best)
        where = {"x": trials["trial"][kept].tolist(), "y": floats(best[kept]), "mode": "lines"}
        figure.add("scatter", **where, line=line, name="best so far", hoverinfo="skip")
    figure.update_layout(xaxis=whole_ticks(len(trials)), yaxis=robust_scale(shown))
    if not np.isfinite(shown).all():
        strip = {"domain": [0, 0.1], "range": [-1, 1], "tickvals": [0], "ticktext": ["no score"], "showgrid": False}
        figure.update_layout(xaxis={"anchor": "y2"}, yaxis={"domain": [0.16, 1]}, yaxis2=strip)
    if not np.isfinite(shown).any():
        figure.update_layout(height=140, yaxis={"visible": False}, yaxis2={"domain": [0, 1]})
    return figure


def every_curve(epochs: pd.DataFrame, trials: pd.DataFrame, metric: str) -> Figure:
    """Draw a validation metric over the epochs of many trials, a colour for each outcome; means of their folds."""
    figure = empty_figure(360, x="epoch", y=label(f"validation {metric}"))
    column = f"validation_{metric}"
    means = epochs.groupby(["trial", "epoch"], as_index=False)[column].mean()
    for outcome, (colour, _) in OUTCOME_STYLE.items():
        mine = means[means["trial"].isin(trials["trial"][ended(trials, Outcome(outcome))])]
        if not np.isfinite(mine[column]).any():
            continue
        # A line ends where the next row is another trial's: one trace draws them all.
        ends = np.flatnonzero(np.diff(mine["trial"])) + 1
        x, y, names = (np.insert(mine[name].to_numpy(np.float64), ends, NAN) for name in ("epoch", column, "trial"))
        figure.add(
            "scatter",
            x=floats(x),
            y=floats(y),
            text=[setting(name) if math.isfinite(name) else "" for name in names],
            mode="lines+markers",
            line={"color": colour, "width": 1},
            marker={"size": 4},
            opacity=0.7,
            name=label(outcome),
            hovertemplate="trial %{text}, epoch %{x}: %{y:.4g}<extra></extra>",
        )
    figure.update_layout(
        xaxis=whole_ticks(int(epochs["epoch"].max())), yaxis=robust_scale(means[column]), showlegend=True
    )
    return figure


def learning_curves(epochs: pd.DataFrame, trials: Sequence[int], metric: str) -> Figure:
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
            figure.add(
                "scatter",
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


def importance_bars(table: pd.DataFrame, limit: int = 12) -> Figure:
    """Draw the most important parameters as bars with the spread of the shuffles."""
    known = table[table["importance"].notna()].head(limit)
    figure = parameter_bars(dict(zip(known["parameter"], known["importance"], strict=True)), "drop in R² when shuffled")
    spread = floats(known["spread"].iloc[::-1])
    figure.data[0]["error_x"] = {"type": "data", "array": spread, "thickness": 1, "width": 3, "color": COLOURS[-1]}
    low, high = min(0.0, float(known["importance"].min())), float((known["importance"] + known["spread"]).max())
    figure.update_layout(xaxis={"range": floats([1.03 * low, 1.03 * high])})
    return figure


def parameter_bars(values: Mapping[str, float], title: str, limit: int = 12) -> Figure:
    """Draw the first of ``values``, of parameters by dotted path, as bars from the top."""
    shown = list(values.items())[:limit][::-1]
    names = short_names(list(values))
    figure = empty_figure(70 + 24 * len(shown), x=title, y="")
    figure.add(
        "bar",
        x=floats([value for _, value in shown]),
        y=list(range(len(shown))),
        orientation="h",
        marker={"color": COLOURS[0]},
        text=[f"{label(path, 60)}: {number(value)}" for path, value in shown],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
    ticks = [label(names[path]) for path, _ in shown]
    figure.update_layout(yaxis={"tickvals": list(range(len(shown))), "ticktext": ticks, "showgrid": False})
    return figure


def parameter_slice(trials: pd.DataFrame, column: str, metric: str, *, log: bool = False) -> Figure:
    """Draw the first objective of the complete trials over one parameter, coloured by architecture.

    ``log`` says that the parameter was sampled by its logarithm.
    """
    present = trials[ended(trials, Outcome.COMPLETE) & trials[column].notna() & trials["value"].notna()]
    present = present[thinned(np.zeros(len(present), dtype=np.bool_))]
    figure = empty_figure(220, x="", y=label(metric))
    if is_numeric(present[column]):
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
) -> Figure:
    """Draw two figures of the same trials against each other, with the Pareto front of the pair.

    ``x`` and ``y`` hold one value a trial, ``names`` and ``maximize`` are of x and y in this order. At each x the line
    has the best y of the trials that are at least as good in x: so which way its steps go depends on the direction of x
    alone.
    """
    figure = empty_figure(height, x=label(names[0], 40), y=label(names[1], 40))
    known = np.isfinite(x) & np.isfinite(y)
    front = pareto_front(np.column_stack([x, y]), maximize) & known
    drawn = thinned(front) & known
    add_by_architecture(figure, trials[drawn], trials, x[drawn], y[drawn])
    order = np.lexsort((y[front], x[front]))
    figure.add(
        "scatter",
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
