"""What ``stats.json`` says of the checks of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.data import Dataset
from harness.data.suspicion import Suspicion
from harness.store.loose import at
from harness.study.checks.drift import code_of
from harness.study.checks.examine import Examined

Suspected = Mapping[str, Any]
"""A suspicion as plain data."""


def as_records(suspicions: Sequence[Suspicion]) -> list[Suspected]:
    """Return suspicions as plain data."""
    return [{**asdict(each), "examples": list(each.examples)} for each in suspicions]


def told_of_checks(
    stats: Mapping[str, Any], dataset: Dataset, examined: Examined, of_test: Sequence[Suspected]
) -> dict[str, Any]:
    """Return the contents of ``stats.json`` with what was noticed of the data, which is then no note on it as well."""
    task = stats["task"]
    noted = {f"{dataset.name}: {each.text}" for each in dataset.suspected}
    told = {
        "notes": [note for note in task["notes"] if note not in noted],
        "suspicions": [*as_records((*dataset.suspected, *examined.suspicions)), *of_test],
        "unchecked": examined.unchecked,
    }
    return {**stats, "task": {**task, **told}}


def recorded_of_test(stats: Mapping[str, Any]) -> list[Suspected]:
    """Return what an earlier part of a run noticed of its test samples."""
    recorded = at(stats, "task", "suspicions")
    return [each for each in recorded if at(each, "code") == code_of("test")] if isinstance(recorded, list) else []
