"""Figures over the time of a run: which trial ran when and what the machine did, and where the seconds went."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.records import Outcome
from harness.report.canvas import COLOURS, OUTCOME_STYLE, cycled, empty_figure, floats, label, told
from harness.report.figure import Figure
from harness.report.wording import duration
from harness.store.ledger import Ledger
from harness.study.pareto import Floats

_SHOWN_TIMES = 600
_METERS = {"cpu_percent": "CPU", "gpu_utilization_percent": "GPU"}


def timeline(trials: pd.DataFrame, samples: pd.DataFrame) -> Figure:
    """Draw each trial as a bar from its start, as long as its device-seconds, below the load of the same time.

    Trials that ran at once lie in lanes of their own, but for those of one program: each is as long as its share, and
    they follow each other, so that together they are as long as the program was. ``trials`` have a start and seconds.
    """
    lasted = trials["seconds"].to_numpy(np.float64)
    begun, ended = _stretches(trials)
    zero = min([begun.min(), *samples["time_unix_s"].head(1)])
    lanes = lanes_of(begun, ended)
    rows = int(lanes.max()) + 1
    figure = empty_figure(260 + 16 * min(rows, 12), x="seconds since the start of the run", y="load (%)")
    for position, (name, title) in enumerate(_METERS.items()):
        if samples[name].notna().any():
            times, means = averaged(samples, [name])
            line = {"color": cycled(COLOURS, position), "width": 1.5}
            figure.add("scatter", x=floats(times - zero), y=floats(means[name]), mode="lines", line=line, name=title)
    for outcome, (colour, _) in OUTCOME_STYLE.items():
        mine = (trials["outcome"] == outcome).to_numpy()
        if mine.any():
            figure.add(
                "bar",
                base=floats(begun[mine] - zero),
                x=floats(lasted[mine]),
                y=lanes[mine].tolist(),
                orientation="h",
                width=0.8,
                yaxis="y2",
                marker={"color": colour, "line": {"width": 0}},
                name=label(outcome),
                text=[f"{each}<br>{duration(s)}" for each, s in zip(told(trials[mine]), lasted[mine], strict=True)],
                textposition="none",
                hovertemplate="%{text}<extra></extra>",
            )
    share = 0.25 + 0.3 * min(rows, 12) / 12
    lanes_axis = {"domain": [0, share - 0.05], "range": [-0.6, rows - 0.4], "showgrid": False, "showticklabels": False}
    figure.update_layout(
        barmode="overlay",
        xaxis={"anchor": "y2"},
        yaxis={"domain": [share, 1], "rangemode": "tozero"},
        yaxis2={**lanes_axis, "title": {"text": "trials"}},
        showlegend=True,
    )
    return figure


def _stretches(trials: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return where the bars of trials begin and end; those of one program began at the same moment."""
    began, together = trials["started_unix_s"], trials["shared_with"].fillna(0) > 0
    program = began.where(together, -1.0 - np.arange(len(trials)))
    upto = trials["seconds"].groupby(program).cumsum()
    before = upto.groupby(program).shift(fill_value=0.0)
    return (began + before).to_numpy(np.float64), (began + upto).to_numpy(np.float64)


def lanes_of(begins: Floats, ends: Floats) -> np.ndarray:
    """Return for each stretch the first lane that is free when it begins; int64, from 0."""
    free: list[float] = []
    lanes = np.zeros(len(begins), dtype=np.int64)
    for place in np.argsort(begins, kind="stable"):
        lane = next((number for number, until in enumerate(free) if until <= begins[place]), len(free))
        free[lane : lane + 1] = [float(ends[place])]
        lanes[place] = lane
    return lanes


def telemetry(samples: pd.DataFrame, columns: Sequence[str], unit: str) -> Figure:
    """Draw meters over the time of the run, as means of equal stretches where there are too many samples."""
    times, means = averaged(samples, columns)
    seconds = times - float(samples["time_unix_s"].min())
    figure = empty_figure(240, x="seconds since the first sample", y=unit)
    for position, name in enumerate(columns):
        line = {"color": cycled(COLOURS, position), "width": 1.5}
        figure.add(
            "scatter", x=floats(seconds), y=floats(means[name]), mode="lines", line=line, name=_plain(name, unit)
        )
    figure.update_layout(showlegend=True, yaxis={"rangemode": "tozero"})
    return figure


def _plain(name: str, unit: str) -> str:
    """Return a meter's name without the unit that the axis carries already."""
    ends = {"%": "_percent", "MiB": "_mib", "W": "_w", "°C": "_c", "MHz": "_mhz", "MB/s": "_mb_s"}
    return name.removesuffix(ends[unit]).replace("_", " ")


def averaged(samples: pd.DataFrame, columns: Sequence[str]) -> tuple[Floats, pd.DataFrame]:
    """Return times and meters in their order, as means of equal stretches where there are too many samples."""
    ordered = samples.sort_values("time_unix_s", kind="stable")
    bins = np.arange(len(ordered)) // max(1, math.ceil(len(ordered) / _SHOWN_TIMES))
    means = ordered[["time_unix_s", *columns]].groupby(bins).mean()
    times: Floats = means["time_unix_s"].to_numpy(np.float64)
    return times, means


def ledger_bars(book: Ledger) -> Figure:
    """Draw the device-seconds by how the trials ended, what was lost among them."""
    spent = book.rows[book.rows["share"].notna() & (book.rows["device_s"] > 0)].iloc[::-1]
    styles = {str(Outcome(outcome)): colour for outcome, (colour, _) in OUTCOME_STYLE.items()}
    figure = empty_figure(80 + 26 * len(spent), x="device-seconds", y="")
    figure.add(
        "bar",
        x=floats(spent["device_s"]),
        y=[label(what) for what in spent["what"]],
        orientation="h",
        marker={"color": [styles.get(what, COLOURS[-1]) for what in spent["what"]]},
        text=[duration(seconds) for seconds in spent["device_s"]],
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure.update_layout(yaxis={"showgrid": False})
    return figure
