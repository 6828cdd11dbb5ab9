"""Figures of how good predictions are: confusion and reliability of classes, residuals of values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harness.report.axes import bulk
from harness.report.canvas import COLOURS, FRONT_COLOUR, empty_figure, floats, label
from harness.report.figure import Figure
from harness.report.wording import percent, plural
from harness.study.pareto import Floats

SHOWN_SAMPLES = 2000
"""Points of a scatter of predictions, evenly spaced over more."""

_SHOWN_CLASSES = 20
_BINS = 10
_RESIDUAL_BINS = 40


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
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
    figure.add(
        "heatmap",
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


def predicted_against_actual(actual: pd.Series, guessed: pd.Series) -> Figure:
    """Draw predicted over actual values with the line on which both agree."""
    step = max(1, math.ceil(len(actual) / SHOWN_SAMPLES))
    target, predicted = (values.to_numpy(np.float64)[::step] for values in (actual, guessed))
    figure = empty_figure(420, x="actual", y="predicted")
    marker = {"color": COLOURS[0], "size": 5, "opacity": 0.5}
    figure.add(
        "scatter", x=floats(target), y=floats(predicted), mode="markers", marker=marker, name="sample", showlegend=False
    )
    ends = floats([target.min(), target.max()])
    line = {"color": FRONT_COLOUR, "dash": "dash", "width": 1.5}
    figure.add("scatter", x=ends, y=ends, mode="lines", line=line, name="exact", hoverinfo="skip")
    if near := bulk(predicted[np.isfinite(predicted)]):
        low, high = min(near[0], target.min()), max(near[1], target.max())
        room = 0.03 * (high - low)
        figure.update_layout(yaxis={"range": floats([low - room, high + room])})
    return figure


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> Figure:
    """Draw the accuracy in equal bins of the confidence, with Wilson's 95 % intervals, over the mean confidence.

    Below the line the model is too sure of itself, above it not sure enough (Guo et al., 2017, arXiv:1706.04599). The
    bars below count the samples; those without a confidence are left out.
    """
    known = np.isfinite(confidence)
    confidence, right = confidence[known], right[known]
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    used = np.flatnonzero(counts)
    hits = np.bincount(bins, weights=right, minlength=_BINS)[used].astype(np.int64)
    means = np.bincount(bins, weights=confidence, minlength=_BINS)[used] / counts[used]
    figure = empty_figure(420, x="confidence", y="accuracy")
    told = [
        f"{plural(int(count), 'sample')}: confidence {percent(mean)}, accuracy {percent(share)}"
        for count, mean, share in zip(counts[used], means, hits / counts[used], strict=True)
    ]
    add_shares(figure, means, hits, counts[used], names=("calibrated", "accuracy"), told=told)
    figure.add(
        "bar",
        x=[(place + 0.5) / _BINS for place in range(_BINS)],
        y=counts.tolist(),
        width=0.9 / _BINS,
        marker={"color": COLOURS[-1]},
        yaxis="y2",
        name="samples",
        hovertemplate="%{y:,} samples<extra></extra>",
    )
    figure.update_layout(
        xaxis={"range": [0, 1], "anchor": "y2"},
        yaxis={"range": [0, 1.02], "domain": [0.3, 1]},
        yaxis2={"domain": [0, 0.2], "title": {"text": "samples"}},
        showlegend=True,
    )
    return figure


def residuals(actual: Floats, predicted: Floats) -> Figure:
    """Draw predicted less actual values over the predicted ones: a good model leaves no pattern around zero."""
    step = max(1, math.ceil(len(actual) / SHOWN_SAMPLES))
    x, y = predicted[::step], (predicted - actual)[::step]
    figure = empty_figure(420, x="predicted", y="predicted less actual")
    marker = {"color": COLOURS[0], "size": 5, "opacity": 0.5}
    figure.add("scatter", x=floats(x), y=floats(y), mode="markers", marker=marker, showlegend=False)
    for axis, values in (("xaxis", x), ("yaxis", y)):
        if near := bulk(values[np.isfinite(values)]):
            room = 0.06 * (near[1] - near[0])
            figure.update_layout(**{axis: {"range": floats([near[0] - room, near[1] + room])}})
    return figure


def residual_histogram(actual: Floats, predicted: Floats) -> Figure:
    """Draw how often residuals of each size come; those far from all others count in the outermost bars."""
    errors = predicted - actual
    errors = errors[np.isfinite(errors)]
    figure = empty_figure(300, x="predicted less actual", y="samples")
    if not len(errors):
        return figure
    low, high = bulk(errors) or (float(errors.min()), float(errors.max()))
    counts, edges = np.histogram(np.clip(errors, low, high), bins=_RESIDUAL_BINS)
    figure.add(
        "bar",
        x=floats((edges[:-1] + edges[1:]) / 2),
        y=counts.tolist(),
        width=floats(np.diff(edges)),
        marker={"color": COLOURS[0], "line": {"width": 0}},
        hovertemplate="%{y:,} samples around %{x:.4g}<extra></extra>",
    )
    return figure


def add_shares(
    figure: Figure,
    x: ArrayLike,
    hits: NDArray[np.integer],
    counts: NDArray[np.integer],
    *,
    names: tuple[str, str],
    told: Sequence[str],
) -> None:
    """Add shares of hits with Wilson's 95 % intervals, and the diagonal where each share is its ``x``.

    ``names`` are those of the diagonal and of the shares; a pointer over a share is ``told`` its text.
    """
    from scipy.stats import binomtest

    shares = hits / counts
    ends = np.array(
        [
            binomtest(int(hit), int(count)).proportion_ci(method="wilson")
            for hit, count in zip(hits, counts, strict=True)
        ]
    ).reshape(-1, 2)
    line = {"color": FRONT_COLOUR, "dash": "dash", "width": 1.5}
    figure.add("scatter", x=[0, 1], y=[0, 1], mode="lines", line=line, name=names[0], hoverinfo="skip")
    figure.add(
        "scatter",
        x=floats(x),
        y=floats(shares),
        error_y={"array": floats(ends[:, 1] - shares), "arrayminus": floats(shares - ends[:, 0]), "thickness": 1},
        mode="lines+markers",
        marker={"color": COLOURS[0], "size": 8},
        name=names[1],
        text=list(told),
        hovertemplate="%{text}<extra></extra>",
    )
