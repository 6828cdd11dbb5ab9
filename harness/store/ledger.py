"""Compute by outcome: where the device-seconds of a run's trials went."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.records import NAN, Outcome

LOST = "lost"
SAVED = "saved by repeats"
SAVED_BY_GATES = "saved by gates, as predicted"

_WHY = {
    LOST: "attempts that left nothing: a worker that died, an epoch that was cut off",
    SAVED: "given the result of an earlier trial of the same candidate; not spent, so no part of the whole",
    SAVED_BY_GATES: "all epochs of what was rejected before training: predicted, not measured; no part of the whole",
}


@dataclass(frozen=True)
class Ledger:
    """What the trials cost. A repeat costs nothing, and seconds that were not recorded are not counted."""

    rows: pd.DataFrame
    """What happened, one row each: ``what``, ``trials``, ``device_s``, ``share`` of all device-seconds, ``reason``.

    The outcomes come first, in their order, with the most frequent reason of each; then what all of them ``lost`` in
    attempts that left nothing; then what was ``saved by repeats``, whose seconds are those of the original trials, and
    ``saved by gates``, whose seconds are those that were predicted. The share of what was saved is NaN.
    """
    device_s: float
    """All that was spent, lost seconds included."""
    unrecorded: int
    """Trials that were trained without their seconds being recorded."""
    gates_s: float
    """Device-seconds that went into predictions, a part of those of the trials; NaN where none were recorded."""
    rejected: int
    """Trials that were infeasible before any training."""
    unpredicted: int
    """Those of them whose training was not predicted, so that what was saved by them is not known."""

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
            "gates_s": self.gates_s,
            "gates_share": share(self.gates_s, self.device_s),
            "rejected_before_training": self.rejected,
            "rejected_without_prediction": self.unpredicted,
            "rows": self.rows.to_dict("records"),
        }


def ledger(trials: pd.DataFrame) -> Ledger:
    """Return the ledger of ``trials``, with the columns of :func:`harness.store.trials_frame`."""
    trained = trials["same_as"].isna()
    rejected = trained & (trials["outcome"] == Outcome.INFEASIBLE) & (trials["epochs"] == 0)
    total = float(trials["seconds"].where(trained, 0.0).sum() + trials["lost_s"].sum())
    rows = [(what, n, cost, share(cost, total), why) for what, n, cost, why in _spent(trials, trained)]
    rows += [(what, n, cost, NAN, why) for what, n, cost, why in _saved(trials, trained, rejected)]
    return Ledger(
        rows=pd.DataFrame(rows, columns=["what", "trials", "device_s", "share", "reason"]),
        device_s=total,
        unrecorded=int((trained & trials["seconds"].isna()).sum()),
        gates_s=float(trials["gate_s"][trained].sum(min_count=1)),
        rejected=int(rejected.sum()),
        unpredicted=int((rejected & trials["predicted_train_seconds"].isna()).sum()),
    )


def _spent(trials: pd.DataFrame, trained: pd.Series) -> Iterator[tuple[str, int, float, str]]:
    """Yield what the trials of each outcome cost, then what was lost."""
    for outcome in Outcome:
        mine = trials["outcome"] == outcome
        if mine.any():
            own = trials[mine & trained]
            reasons = alike(zip(own["trial"], own["reason"], strict=True))
            cost = trials["seconds"].where(trained, 0.0)[mine].sum(min_count=1)
            yield outcome.value, int(mine.sum()), float(cost), reasons[0][0] if reasons else ""
    lost = trials["lost_s"][trials["lost_s"] > 0]
    if len(lost):
        yield LOST, len(lost), float(lost.sum()), _WHY[LOST]


def _saved(trials: pd.DataFrame, trained: pd.Series, rejected: pd.Series) -> Iterator[tuple[str, int, float, str]]:
    """Yield what was not spent: on repeats, and on what gates rejected."""
    if not trained.all():
        cost = dict(zip(trials["trial"], trials["seconds"], strict=True))
        originals = [cost.get(original, NAN) for original in trials["same_as"][~trained]]
        yield SAVED, len(originals), float(pd.Series(originals).sum(min_count=1)), _WHY[SAVED]
    predicted = trials["predicted_train_seconds"][rejected].dropna()
    if len(predicted):
        yield SAVED_BY_GATES, len(predicted), float(predicted.sum()), _WHY[SAVED_BY_GATES]


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
