"""What a run remarks on itself: what was noticed of its trials, and why figures are missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.report.blocks import Table
from harness.report.load import decoded
from harness.report.statistics import trained
from harness.report.wording import NOT_MEASURED, clipped, plural
from harness.store.ledger import alike

REMARKED = ("same_as", "batch_size", "micro_batch", "most_epochs", "shared_with", "attempts")
"""Columns of ``trials.parquet`` that :func:`remarks` looks at."""
_SHOWN_NOTES = 12
_SHOWN_TRIALS = 8
_LONGEST = 240


def unmeasured_table(trials: pd.DataFrame) -> Table:
    """Return each reason for which figures are missing or from elsewhere, with the figures and the number of trials."""
    names: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for reasons in decoded(trials["reasons"]):
        for name, why in reasons.items():
            names.setdefault(str(why), set()).add(str(name))
        counts.update({str(why) for why in reasons.values()})
    rows = tuple((clipped(why, _LONGEST), ", ".join(sorted(names[why])), str(counts[why])) for why in sorted(names))
    columns = ("why", "figures", "trials")
    return Table(
        caption="Figures that trials lack, or have from elsewhere",
        columns=columns,
        rows=rows,
        numeric=frozenset({"trials"}),
    )


def why_missing(trials: pd.DataFrame, figure: str) -> str:
    """Return the first reason that any trial gives for a figure being NaN."""
    named = trials["reasons"][trials["reasons"].str.contains(json.dumps(figure), regex=False)]
    found = (reasons[figure] for reasons in map(json.loads, named) if figure in reasons)
    return str(next(found, "no reason was recorded"))


def noticed(trials: pd.DataFrame) -> tuple[str, ...]:
    """Return what was noticed during training and how it went, alike notes told once, the most frequent first.

    What a repeat was told with its result is the remark of another trial, and left out.
    """
    own = trials[trained(trials)]
    found = alike(
        (int(trial), note)
        for trial, notes in zip(own["trial"], own["notes"].fillna(""), strict=True)
        for note in notes.split("; ")
        if note
    )
    course: dict[str, list[int]] = {}
    for row in trials.to_dict("records"):
        for remark in remarks(row):
            course.setdefault(remark, []).append(int(row["trial"]))
    found = sorted([*found, *course.items()], key=lambda group: -len(group[1]))
    lines = [f"{clipped(note, _LONGEST)} ({_which(numbers)})" for note, numbers in found[:_SHOWN_NOTES]]
    more = len(found) - _SHOWN_NOTES
    return (*lines, f"and {plural(more, 'other note')}") if more > 0 else tuple(lines)


def remarks(trial: Mapping[Any, Any]) -> Iterator[str]:
    """Yield what was out of the ordinary in the course of a trial, a row of ``trials.parquet``."""
    if pd.notna(trial["same_as"]):
        yield f"same as trial {int(trial['same_as'])}, so not trained again"
        return
    if _in_parts(trial):
        yield f"batches of {batch_text(trial)}"
    if pd.notna(trial["most_epochs"]):
        yield f"trained for {plural(int(trial['most_epochs']), 'epoch')}: there was no time for all that were asked for"
    if pd.notna(trial["shared_with"]) and trial["shared_with"] > 0:
        yield f"one of {int(trial['shared_with']) + 1} in a program; seconds, energy and memory are its share"
    if pd.notna(trial["attempts"]) and trial["attempts"] > 1:
        yield f"started {int(trial['attempts'])} times"


def batch_text(trial: Mapping[Any, Any]) -> str:
    """Return a trial's batch size, and the size of the parts where it went through the model in parts."""
    if pd.isna(trial["batch_size"]):
        return NOT_MEASURED
    parts = f" in parts of {int(trial['micro_batch'])}" if _in_parts(trial) else ""
    return f"{int(trial['batch_size'])}{parts}"


def _in_parts(trial: Mapping[Any, Any]) -> bool:
    return pd.notna(trial["micro_batch"]) and bool(trial["micro_batch"] < trial["batch_size"])


def _which(trials: list[int]) -> str:
    listed = ", ".join(map(str, trials[:_SHOWN_TRIALS]))
    if len(trials) > _SHOWN_TRIALS:
        return f"{len(trials)} trials: {listed}, …"
    return f"{'trial' if len(trials) == 1 else 'trials'} {listed}"
