"""The figures of several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.records import Outcome
from harness.report.axes import robust_scale
from harness.report.canvas import COLOURS, corners, cycled, empty_figure, floats, label
from harness.report.figure import Figure
from harness.report.statistics import best_so_far, ended, trained
from harness.study.pareto import Floats

DASHES = ("solid", "dash", "dot", "dashdot")
"""Told apart without colour too."""


def best_over_trials(trials: pd.DataFrame, *, maximize: bool) -> tuple[Floats, Floats]:
    """Return how many trials had ended, and the best first objective among them."""
    return np.arange(1.0, len(trials) + 1.0), best_so_far(_values(trials), maximize=maximize)


def best_over_seconds(trials: pd.DataFrame, *, maximize: bool) -> tuple[Floats, Floats]:
    """Return the device-seconds that the trials had taken as they ended, and the best first objective by then."""
    spent = trials["seconds"].where(trained(trials), 0.0).fillna(0.0) + trials["lost_s"].fillna(0.0)
    order = np.argsort((trials["started_unix_s"] + trials["seconds"]).to_numpy(np.float64), kind="stable")
    return np.cumsum(spent.to_numpy(np.float64)[order]), best_so_far(_values(trials)[order], maximize=maximize)


def best_curves(curves: Mapping[str, tuple[Floats, Floats]], places: Mapping[str, int], x: str, y: str) -> Figure:
    """Draw the best so far of each run as steps; ``places`` gives a run its colour, the same in every figure."""
    figure = empty_figure(380, x=x, y=label(y))
    for name, (spent, best) in curves.items():
        place, kept = places[name], corners(best)
        figure.add(
            "scatter",
            x=floats(spent[kept]),
            y=floats(best[kept]),
            mode="lines+markers" if kept.sum() == 1 else "lines",
            line={"color": cycled(COLOURS, place), "dash": cycled(DASHES, place), "width": 2, "shape": "hv"},
            name=label(name, 60),
            hovertemplate=f"{label(name, 60)}<br>{x} %{{x}}: %{{y:.4g}}<extra></extra>",
        )
    drawn = [best for _, best in curves.values()]
    figure.update_layout(yaxis=robust_scale(np.concatenate([[], *drawn])), showlegend=True)
    return figure


def _values(trials: pd.DataFrame) -> Floats:
    return np.where(ended(trials, Outcome.COMPLETE), trials["value"].to_numpy(np.float64), np.nan)
