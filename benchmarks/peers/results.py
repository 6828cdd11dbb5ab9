"""The rows of ``peers.csv`` and what they come to: times, CPU times, scores, and ratios with their intervals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from harness.records import NAN
from harness.statistics import Interval, median_interval


class Row(NamedTuple):
    """One command of one round."""

    date: str
    machine: str
    cores: int
    work: str
    trials: int
    round: int
    arm: str
    wall_s: float
    cpu_s: float
    """Of all processes of the command together."""
    best: float
    """Best validation accuracy of all trials and epochs."""
    candidates: str
    """Digest of what was trained, in order: equal where it was the same."""
    load: float
    """Average of the minute before."""
    versions: str
    command: str


def read(path: Path) -> pd.DataFrame:
    """Return the rows of a file; none where there is no file."""
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(Row._fields))


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows as a whole, so that a run that is ended leaves those that it had."""
    new = path.with_suffix(".new")
    rows.to_csv(new, index=False)
    new.replace(path)


def ratio(rows: pd.DataFrame, arm: str, ours: str, column: str = "wall_s") -> Interval:
    """Return how many times as long ``arm`` took as ``ours``, by the rounds of a work that both were in; NaN: none."""
    by_round = rows.pivot_table(index="round", columns="arm", values=column).reindex(columns=[arm, ours])
    both = (by_round[arm] / by_round[ours]).dropna().tolist()
    return median_interval(both) if both else Interval(NAN, NAN, NAN)


def lines(rows: pd.DataFrame, against: tuple[str, ...]) -> list[list[str]]:
    """Return a line for each arm of one work, below a header: medians, and ratios to the arms of ours that ran."""
    ours = [arm for arm in against if arm in set(rows["arm"])]
    table = [["arm", "wall s", "CPU s", "best accuracy", *(f"times {arm}" for arm in ours)]]
    for arm, own in rows.groupby("arm", sort=False):
        ratios = [interval(ratio(rows, str(arm), our)) if arm != our else "1" for our in ours]
        middle = own[["wall_s", "cpu_s", "best"]].median()
        table.append([str(arm), f"{middle['wall_s']:.1f}", f"{middle['cpu_s']:.1f}", f"{middle['best']:.4f}", *ratios])
    return table


def interval(found: Interval) -> str:
    """Return a ratio with its interval, where there were rounds enough for one."""
    if math.isnan(found.median):
        return "not measured"
    if math.isnan(found.low):
        return f"{found.median:.2f}"
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"
