"""What a run remarks on itself: what was noticed in training, and why figures are missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pandas as pd

from harness.report.blocks import Table
from harness.report.load import decoded
from harness.report.wording import clipped, plural

_SHOWN_NOTES = 12
_SHOWN_TRIALS = 8
_LONGEST = 240


def unmeasured_table(trials: pd.DataFrame) -> Table:
    """Return each reason for which figures are missing, with the figures and the number of trials."""
    names: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for reasons in decoded(trials["reasons"]):
        for name, why in reasons.items():
            names.setdefault(str(why), set()).add(str(name))
        counts.update({str(why) for why in reasons.values()})
    rows = tuple((clipped(why, _LONGEST), ", ".join(sorted(names[why])), str(counts[why])) for why in sorted(names))
    columns = ("why", "figures", "trials")
    return Table(caption="Figures without a value", columns=columns, rows=rows, numeric=frozenset({"trials"}))


def noticed(trials: pd.DataFrame) -> tuple[str, ...]:
    """Return what was noticed during training, alike notes told once, the most frequent first."""
    found = alike(
        (int(trial), note)
        for trial, notes in zip(trials["trial"], trials["notes"].fillna(""), strict=True)
        for note in notes.split("; ")
        if note
    )
    lines = [f"{clipped(note, _LONGEST)} ({_which(numbers)})" for note, numbers in found[:_SHOWN_NOTES]]
    more = len(found) - _SHOWN_NOTES
    return (*lines, f"and {plural(more, 'other note')}") if more > 0 else tuple(lines)


def alike(notes: Iterable[tuple[int, str]]) -> list[tuple[str, list[int]]]:
    """Group (trial, note) pairs whose notes differ in their numbers only.

    A group is its first note with the trials that it stands for; the most frequent comes first.
    """
    groups: dict[str, tuple[str, set[int]]] = {}
    for trial, note in notes:
        groups.setdefault(re.sub(r"\d[\d.,e+-]*", "#", note), (note, set()))[1].add(trial)
    found = [(note, sorted(numbers)) for note, numbers in groups.values()]
    return sorted(found, key=lambda group: (-len(group[1]), group[0]))


def _which(trials: list[int]) -> str:
    listed = ", ".join(map(str, trials[:_SHOWN_TRIALS]))
    if len(trials) > _SHOWN_TRIALS:
        return f"{len(trials)} trials: {listed}, …"
    return f"{'trial' if len(trials) == 1 else 'trials'} {listed}"
