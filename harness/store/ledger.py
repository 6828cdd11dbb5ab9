"""The ledger of compute: where the device-seconds of a run's trials went."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.records import NAN, Outcome

LOST = "lost"
SAVED = "saved by repeats"

_WHY = {
    LOST: "attempts that left nothing: a worker that died, an epoch that was cut off",
    SAVED: "told the result of an earlier trial of the same candidate; not spent, so no part of the whole",
}


@dataclass(frozen=True)
class Ledger:
    """What the trials cost. A repeat costs nothing, and seconds that were not recorded are not counted."""

    rows: pd.DataFrame
    """What happened, one row each: ``what``, ``trials``, ``device_s``, ``share`` of all device-seconds, ``reason``.

    The outcomes come first, in their order, with the most frequent reason of each; then what all of them ``lost`` in
    attempts that left nothing; then what was ``saved by repeats``, whose seconds are those of the original trials and
    whose share is NaN.
    """
    device_s: float
    """All that was spent, lost seconds included."""
    unrecorded: int
    """Trials that were trained without their seconds being recorded."""

    @property
    def complete_s(self) -> float:
        """Device-seconds that led to a complete trial."""
        return float(self.rows.loc[self.rows["what"] == Outcome.COMPLETE, "device_s"].sum())

    @property
    def outcomes(self) -> pd.DataFrame:
        """The rows of outcomes alone."""
        return self.rows[self.rows["what"].isin(list(Outcome))]

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``stats.json``."""
        return {
            "device_s": self.device_s,
            "complete_s": self.complete_s,
            "complete_share": share(self.complete_s, self.device_s),
            "trials_without_seconds": self.unrecorded,
            "rows": self.rows.to_dict("records"),
        }


def ledger(trials: pd.DataFrame) -> Ledger:
    """Return the ledger of ``trials``, with the columns of :func:`harness.store.trials_frame`."""
    trained = trials["same_as"].isna()
    spent = trials["seconds"].where(trained, 0.0)
    lost = trials["lost_s"].fillna(0.0)
    total = float(spent.sum() + lost.sum())
    rows: list[tuple[str, int, float, str]] = []
    for outcome in Outcome:
        mine = trials["outcome"] == outcome
        if mine.any():
            reasons = alike(zip(trials["trial"][mine & trained], trials["reason"][mine & trained], strict=True))
            rows.append((outcome.value, mine.sum(), spent[mine].sum(min_count=1), reasons[0][0] if reasons else ""))
    if lost.sum() > 0:
        rows.append((LOST, (lost > 0).sum(), lost.sum(), _WHY[LOST]))
    if not trained.all():
        cost = dict(zip(trials["trial"], trials["seconds"], strict=True))
        originals = [cost.get(original, NAN) for original in trials["same_as"][~trained]]
        rows.append((SAVED, len(originals), pd.Series(originals).sum(min_count=1), _WHY[SAVED]))
    shared = [
        (what, int(count), float(cost), NAN if what == SAVED else share(cost, total), why)
        for what, count, cost, why in rows
    ]
    columns = ["what", "trials", "device_s", "share", "reason"]
    return Ledger(pd.DataFrame(shared, columns=columns), total, int((trained & trials["seconds"].isna()).sum()))


def share(part: float, whole: float) -> float:
    """Return which share of ``whole`` a part is; NaN of nothing."""
    return part / whole if whole > 0 else NAN


def alike(notes: Iterable[tuple[int, str]]) -> list[tuple[str, list[int]]]:
    """Group (trial, note) pairs whose notes differ in their numbers only.

    A group is its first note with the trials that it stands for; the most frequent comes first.
    """
    groups: dict[str, tuple[str, set[int]]] = {}
    for trial, note in notes:
        groups.setdefault(re.sub(r"\d[\d.,e+-]*", "#", note), (note, set()))[1].add(trial)
    found = [(note, sorted(numbers)) for note, numbers in groups.values()]
    return sorted(found, key=lambda group: (-len(group[1]), group[0]))
