"""The chapter on how the trials were trained here: each choice of their plans, how often, and why."""

from __future__ import annotations

import pandas as pd

from harness.report.blocks import Section, Table
from harness.report.load import RunFiles
from harness.report.statistics import trained
from harness.report.wording import clipped, duration, setting, whole
from harness.store.ledger import alike

_CHOICES = {
    "device": "device",
    "precision": "precision",
    "layout": "layout",
    "data_path": "data path",
    "micro_batch": "samples at once",
    "threads": "CPU threads",
    "arm": "arm",
}
_REASONS = {"data_path": "data_reason"}
_LONGEST = 120


def plan_section(run: RunFiles) -> Section:
    """Return the chapter; it is empty of a run of which no trial was planned."""
    table = plan_choices(run.trials)
    return Section(anchor="plans", title="Training plans", blocks=(table,) if table.rows else ())


def plan_choices(trials: pd.DataFrame) -> Table:
    """Return each value that a choice took with the trials that took it, and the commonest reason."""
    planned = trials[trained(trials) & trials["device"].notna()]
    # Older versions recorded the batch size alone.
    planned = planned.assign(
        micro_batch=planned["micro_batch"].fillna(planned["batch_size"]),
        arm=planned["arm"].replace("", "alone").fillna("alone"),
    )
    rows = []
    for name, title in _CHOICES.items():
        for value, mine in planned.groupby(name, sort=True):
            reason = _REASONS.get(name, f"{name}_reason")
            why = alike(zip(mine["trial"], mine[reason].fillna(""), strict=True)) if reason in mine else []
            told = clipped(why[0][0], _LONGEST) if why else ""
            rows.append((title, setting(value), whole(len(mine)), duration(mine["seconds"].sum()), told))
    columns = ("choice", "taken", "trials", "device time", "most frequent reason")
    return Table(caption="Choices", columns=columns, rows=tuple(rows), numeric=frozenset(columns[2:4]))
