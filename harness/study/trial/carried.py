"""What a checkpoint carries beside weights, so that a trial trained in several stretches is one trial."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from harness.errors import StorageError, first_line
from harness.plan import LAYOUTS
from harness.records import NAN, PREDICTED, EpochRecord, Figures, Plan
from harness.spec import PRECISIONS
from harness.study.folds import by_fold, in_order
from harness.train.bookkeeping import Bookkeeping

SUMS = ("energy_j",)
MEANS = ("gpu_utilization_percent", "power_w", "idle_power_w")
"""Figures of a stretch that add up, or average over its time; all others of the meters are peaks."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A trial up to the end of an epoch."""

    plan: Plan
    """How it was begun; it goes on alike, whatever would be planned now."""
    epochs: Sequence[EpochRecord]
    seconds: float
    """Device-seconds that led here."""
    started_unix_s: float
    metered: Figures = field(default_factory=Figures)
    """The meters' figures so far."""
    notes: Sequence[str] = ()
    """Notes on training of the trial, beside its epochs."""
    predicted: Mapping[str, float] = field(default_factory=dict)
    """What was predicted of it before it began."""
    gate_s: float = 0.0
    """What that took."""

    def as_facts(self) -> dict[str, Any]:
        """Return plain data, which shares with this what needs no change (``asdict`` would copy every number)."""
        parts = {"plan": _by_field(self.plan), "metered": _by_field(self.metered)}
        return {**_by_field(self), **parts, "epochs": [_by_field(epoch) for epoch in self.epochs]}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Carried:
        """Return what :meth:`as_facts` gave. Raises :class:`StorageError` where the facts are anything else."""
        try:
            carried = _ADAPTER.validate_json(json.dumps(facts))
        except (ValidationError, ValueError, RecursionError) as error:
            raise StorageError(f"checkpoint is damaged: {first_line(error)}") from None
        for nonsense in carried._nonsense():
            raise StorageError(f"checkpoint is damaged: {nonsense}")
        return carried

    def _nonsense(self) -> Iterator[str]:
        """Yield what is of the right type and cannot be."""
        if not in_order(self.epochs):
            yield "its epochs are not the first ones"
        if not all(math.isfinite(t) and t >= 0.0 for t in (self.seconds, self.started_unix_s, self.gate_s)):
            yield "its times are invalid"
        plan = self.plan
        if plan.precision not in PRECISIONS or plan.layout not in LAYOUTS:
            yield "its plan names an unknown precision or layout"
        if any(name not in PREDICTED or value < 0.0 or math.isinf(value) for name, value in self.predicted.items()):
            yield "it holds unknown predictions"
        if plan.threads < 1 or not 0 <= plan.micro_batch <= max(0, plan.batch_size):
            yield "its plan has an impossible number of threads or samples"


_ADAPTER = TypeAdapter(Carried)


def _by_field(record: Carried | Plan | EpochRecord | Figures) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


def check_device(carried: Carried, device: torch.device) -> None:
    """Raise :class:`StorageError` for the plan of another kind of device."""
    if carried.plan.device.partition(":")[0] != device.type:
        raise StorageError(f"checkpoint was made on {carried.plan.device}, not on {device}")


def check_epochs(carried: Carried, fit: Bookkeeping, *, trial: int, metric: str) -> None:
    """Raise :class:`StorageError` unless the epochs are those that the weights of a trial have seen."""
    ours = all(e.trial == trial and metric in e.validation for e in carried.epochs)
    last = by_fold(carried.epochs)[-1:]
    if not ours or not 1 <= fit.best_epoch <= fit.epoch == sum(map(len, last)):
        raise StorageError("checkpoint is damaged: its epochs are not those of its weights")


def joined(earlier: Figures, earlier_s: float, later: Figures, later_s: float) -> Figures:
    """Return the meters' figures of two stretches as those of one; what one of them does not know is not known."""
    share = later_s / (earlier_s + later_s) if later_s > 0.0 else 0.0
    figures = Figures()
    for name in dict.fromkeys([*earlier.values, *later.values]):
        value = _join(name, earlier.values.get(name, NAN), later.values.get(name, NAN), share)
        known = not math.isnan(value)
        telling = [part for part in (earlier, later) if math.isnan(part.values.get(name, NAN)) != known]
        reasons = [reason for part in telling if (reason := part.reasons.get(name))]
        if not known and not reasons:
            reasons = ["it was not measured in a part of the trial"]
        figures |= Figures({name: value}, {name: reasons[0]} if reasons else {})
    return figures


def _join(name: str, earlier: float, later: float, share: float) -> float:
    """Join one figure of two stretches, the later of which has this share in their time."""
    if name in SUMS:
        return earlier + later
    if name in MEANS:
        return earlier * (1.0 - share) + later * share
    return math.nan if math.isnan(earlier) or math.isnan(later) else max(earlier, later)
