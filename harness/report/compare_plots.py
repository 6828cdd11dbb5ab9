"""The figures of a comparison of architectures, each a function from the content of ``comparison.json`` to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.report.axes import scale
from harness.report.canvas import COLOURS, FRONT_COLOUR, SYMBOLS, cycled, empty_figure, floats, label
from harness.report.compare_tables import known
from harness.report.figure import Figure
from harness.report.wording import number, score
from harness.statistics import Ranks, Word
from harness.study.pareto import pareto_front

Rows = Sequence[Mapping[str, Any]]

_WORDS = {
    Word.BETTER: ("#2fa572", "triangle-right"),
    Word.EQUIVALENT: ("#4a86e8", "circle"),
    Word.UNDETECTED: ("#8a8f98", "circle-open"),
    Word.OPEN: ("#a99326", "x"),
}
"""Colour and symbol of each verdict: told apart without colour too."""


def seed_scores(families: Rows, metric: str) -> Figure:
    """Draw the score of every seed, one column a family, those of one seed joined; beside them mean and interval."""
    figure = empty_figure(380, x="", y=label(f"test {metric}"))
    places, pairs = np.arange(len(families)), min(len(family["values"]) for family in families)
    for pair in range(pairs):
        line = {"color": COLOURS[-1], "width": 1}
        scores = floats([family["values"][pair] for family in families])
        look = {"mode": "lines", "line": line, "opacity": 0.4, "hoverinfo": "skip", "showlegend": False}
        figure.add("scatter", x=places.tolist(), y=scores, **look)
    for place, family in enumerate(families):
        colour, symbol, name = cycled(COLOURS, place), cycled(SYMBOLS, place), label(family["name"])
        figure.add(
            "scatter",
            x=[place] * pairs,
            y=floats(family["values"][:pairs]),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 7},
            text=[f"{name}, seed {seed}: {score(value)}" for seed, value in _by_seed(family)],
            hovertemplate="%{text}<extra></extra>",
        )
        figure.add(
            "scatter",
            x=[place + 0.15],
            y=floats([known(family["mean"])]),
            error_y=_reach([family], "y"),
            mode="markers",
            marker={"color": colour, "symbol": "line-ew-open", "size": 16},
            text=[f"{name}, mean: {_with_interval(family)}"],
            hovertemplate="%{text}<extra></extra>",
        )
    ticks = [label(family["name"], 20) for family in families]
    axis = {"tickvals": places.tolist(), "ticktext": ticks, "range": [-0.5, len(families) - 0.5], "showgrid": False}
    figure.update_layout(xaxis=axis, showlegend=False)
    return figure


def differences(pairs: Rows, metric: str, margin: float | None) -> Figure:
    """Draw the difference of every two families with its interval, around 0 and the margin of equivalence."""
    shown = list(reversed(pairs))  # the first on top
    figure = empty_figure(
        120 + 26 * len(shown), x=label(f"difference in {metric}, above 0: the first is better", 80), y=""
    )
    for word, (colour, symbol) in _WORDS.items():
        places = [place for place, pair in enumerate(shown) if pair["verdict"].startswith(word)]
        rows = [shown[place] for place in places]
        if not rows:
            continue
        figure.add(
            "scatter",
            x=floats([known(row["difference"]) for row in rows]),
            y=places,
            error_x=_reach(rows, "x", middle="difference"),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 9},
            name=str(word),
            text=[
                label(f"{row['a']} minus {row['b']}: {score(row['difference'])}, {row['verdict']}", 90) for row in rows
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": COLOURS[-1], "width": 1})
    for edge in () if margin is None else (-margin, margin):
        figure.add_vline(x=edge, line={"color": COLOURS[0], "width": 1.5, "dash": "dot"})
    ticks = [label(f"{pair['a']} minus {pair['b']}", 40) for pair in shown]
    places = list(range(len(shown)))
    axis = {"tickvals": places, "ticktext": ticks, "range": [-0.6, len(shown) - 0.4], "showgrid": False}
    figure.update_layout(yaxis=axis, showlegend=True)
    return figure


def price(families: Rows, metric: str, column: str, title: str, *, maximize: bool) -> Figure:
    """Draw the mean score of every family over one of its prices, with the Pareto front of the two."""
    figure = empty_figure(300, x=title, y=label(f"test {metric}"))
    x, y = (np.array([known(family[name]) for family in families]) for name in (column, "mean"))
    for place, family in enumerate(families):
        figure.add(
            "scatter",
            x=floats(x[[place]]),
            y=floats(y[[place]]),
            error_y=_reach([family], "y"),
            mode="markers",
            marker={"color": cycled(COLOURS, place), "symbol": cycled(SYMBOLS, place), "size": 10},
            name=label(family["name"]),
            text=[f"{label(family['name'])}: {_with_interval(family)}, {label(title)} {number(x[place])}"],
            hovertemplate="%{text}<extra></extra>",
        )
    front = np.flatnonzero(pareto_front(np.column_stack([x, y]), [False, maximize]))
    front = front[np.argsort(x[front])]
    line = {"color": FRONT_COLOUR, "width": 1.5, "dash": "dash", "shape": "hv"}
    where = {"x": floats(x[front]), "y": floats(y[front]), "mode": "lines"}
    figure.add("scatter", **where, line=line, name="Pareto front", hoverinfo="skip")
    figure.update_layout(xaxis=scale(x), showlegend=True)
    return figure


def critical_difference(found: Ranks) -> Figure:
    """Draw mean ranks over tasks on one axis, with a bar over those that cannot be told apart (Demsar, 2006)."""
    names, ranks = list(found.ranks), list(found.ranks.values())
    figure = empty_figure(110 + 26 * (len(names) + len(found.groups)), x="mean rank (1 is the best)", y="")
    top = len(found.groups)
    for place, (name, rank) in enumerate(found.ranks.items()):
        left = place < len(names) / 2
        figure.add(
            "scatter",
            x=floats([rank, rank]),
            y=[0, -top - 1 - (place if left else len(names) - 1 - place)],
            mode="lines+markers+text",
            line={"color": cycled(COLOURS, place), "width": 1.5},
            marker={"color": cycled(COLOURS, place), "size": [8, 0.1]},
            text=["", label(f"{name} {rank:.2f}", 40)],
            textposition="middle left" if left else "middle right",
            hovertemplate=f"{label(name)}: mean rank {rank:.2f}<extra></extra>",
        )
    for place, group in enumerate(found.groups):
        ends = [found.ranks[group[0]] - 0.03, found.ranks[group[-1]] + 0.03]
        line = {"color": COLOURS[-1], "width": 6}
        where = {"x": floats(ends), "y": [-place - 0.7] * 2, "mode": "lines"}
        text = f"cannot be told apart: {label(', '.join(group), 90)}"
        figure.add("scatter", **where, line=line, hovertemplate=f"{text}<extra></extra>")
    reach = 0.5 + 0.15 * (len(names) - 1)
    figure.update_layout(
        xaxis={"range": floats([min(1.0, *ranks) - reach, max(float(len(names)), *ranks) + reach]), "dtick": 1},
        yaxis={"visible": False, "range": [-top - len(names) / 2 - 1.5, 0.5]},
        showlegend=False,
    )
    return figure


def _by_seed(family: Mapping[str, Any]) -> zip[tuple[Any, float]]:
    return zip(family["seeds"], map(known, family["values"]), strict=False)


def _with_interval(family: Mapping[str, Any]) -> str:
    return f"{score(family['mean'])} ({score(family['low'])} to {score(family['high'])})"


def _reach(rows: Rows, axis: str, *, middle: str = "mean") -> dict[str, Any]:
    """Return how far the intervals of rows reach to either side; none where a row has none."""
    low, centre, high = (np.array([known(row[name]) for row in rows]) for name in ("low", middle, "high"))
    return {
        "type": "data",
        "symmetric": False,
        "array": floats(high - centre),
        "arrayminus": floats(centre - low),
        "thickness": 1.5,
        "width": 3 if axis == "x" else 4,
    }
