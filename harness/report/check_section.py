"""The chapter on what checks of the data noticed."""

from __future__ import annotations

from harness.report.blocks import Section, Table
from harness.report.stats import TaskStats
from harness.report.wording import NOT_MEASURED

_TEXT = (
    "What a reviewer of the data would ask about; nothing was changed or removed, and of the test samples nothing but "
    "the inputs was looked at, of forecasts the series once it was scored. Samples are named by their index, as in "
    "splits.parquet."
)


def check_section(task: TaskStats) -> Section:
    """Return the chapter; it is empty where nothing was noticed, and nothing left out."""
    suspected, unchecked = task.get("suspicions", []), task.get("unchecked", "")
    rows = tuple(
        (each["code"], each["evidence"], "; ".join(each["examples"]) or NOT_MEASURED, each["remedy"])
        for each in suspected
    )
    table = Table(
        caption="What was noticed of the data", columns=("check", "evidence", "examples", "what to do"), rows=rows
    )
    text = (*((_TEXT,) if rows else ()), *((f"{unchecked[0].upper()}{unchecked[1:]}.",) if unchecked else ()))
    return Section(anchor="checks", title="Data checks", text=text, blocks=(table,) if rows else ())
