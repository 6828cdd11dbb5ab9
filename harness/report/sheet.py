"""The table of all trials, to be sorted and filtered in the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from harness.report.blocks import Cell, Section, Sheet
from harness.report.findings import Findings
from harness.report.load import decoded
from harness.report.statistics import objective_values
from harness.report.tables import FIGURE_COLUMNS, settings_text
from harness.report.wording import clipped, plural
from harness.spec import COST

_CHOICES = ("outcome", "architecture", "optimizer")
_LONGEST_REASON = 120


def trials_section(findings: Findings) -> Section:
    """Return the chapter; it is empty of a run without trials."""
    section = Section(anchor="trials", title="All trials")
    if findings.run.trials.empty:
        return section
    text = "trials.csv has every trial with all its columns."
    return Section(anchor=section.anchor, title=section.title, text=(text,), blocks=(trials_sheet(findings),))


def trials_sheet(findings: Findings) -> Sheet:
    """Return every trial with its objectives, the figures that were measured on any, its reason and its settings."""
    trials, metrics = findings.run.trials, findings.metrics
    values = pd.DataFrame(objective_values(trials, len(metrics)), columns=list(metrics))
    judged = {COST[metric][1] for metric in metrics if metric in COST}
    measured = [name for name in FIGURE_COLUMNS if trials[name].notna().any() and name not in judged]
    numbers = {
        **values,
        **{FIGURE_COLUMNS[name]: trials[name] for name in measured},
        "epochs": trials["epochs"],
        "seconds": trials["seconds"],
    }
    columns: dict[str, Sequence[Cell]] = {
        "trial": trials["trial"].tolist(),
        **{name: [clipped(str(text), 32) for text in trials[name]] for name in _CHOICES},
        **{name: _numbers(column) for name, column in numbers.items()},
        "reason": [clipped(str(text), _LONGEST_REASON) for text in trials["reason"]],
        "settings": [settings_text(params) for params in decoded(trials["params"])],
    }
    return Sheet(
        caption=plural(len(trials), "trial"),
        columns=tuple(columns),
        rows=tuple(zip(*columns.values(), strict=True)),
        numeric=frozenset({"trial", *numbers}),
        choices=frozenset(_CHOICES),
    )


def _numbers(column: pd.Series) -> list[Cell]:
    """Return whole numbers as they are, others with six digits, None for what is not finite."""
    return [_short(value) if math.isfinite(value) else None for value in column.astype("float64").tolist()]


def _short(value: float) -> float:
    return value if value.is_integer() else float(f"{value:.6g}")
