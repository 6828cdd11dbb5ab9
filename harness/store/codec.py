"""Trial and epoch records as JSON text, NaN included, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.records import EpochRecord, Outcome, Plan, TrialRecord


def encode(trial: TrialRecord, epochs: list[EpochRecord]) -> str:
    """Return one trial with its epochs as JSON (Python's dialect: NaN is written as ``NaN``)."""
    return json.dumps({"trial": asdict(trial), "epochs": [asdict(epoch) for epoch in epochs]})


def decode(text: str) -> tuple[TrialRecord, list[EpochRecord]]:
    """Return what :func:`encode` was given."""
    value: Mapping[str, Any] = json.loads(text)
    trial = dict(value["trial"])
    trial["outcome"] = Outcome(trial["outcome"])
    trial["values"] = tuple(trial["values"])
    trial["notes"] = tuple(trial["notes"])
    trial["plan"] = Plan(**trial["plan"]) if trial["plan"] else None
    return TrialRecord(**trial), [EpochRecord(**epoch) for epoch in value["epochs"]]
