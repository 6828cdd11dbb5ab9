"""What training may see of a task; it is sent to worker processes, so nothing is loaded here that only reads data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.data.part import Part
from harness.records import TaskShape


@dataclass(eq=False)
class TrainingData:
    """What training may see of a task: everything but the test samples. To be read only."""

    name: str
    shape: TaskShape
    """What a model must know; the cardinalities of categories are those seen in ``train``."""
    fingerprint: str
    """The sha256 of what was read."""
    notes: tuple[str, ...]
    """Warnings for the user."""
    preprocessing: Mapping[str, Any]
    """JSON-able, enough to preprocess new raw samples alike. Its ``target`` entry has ``classes``, or ``mean`` and
    ``scale`` of the training values: a number each, or one for each value."""
    train: Part
    validation: Part

    @property
    def class_names(self) -> tuple[str, ...]:
        """Empty for regression."""
        return tuple(self.preprocessing["target"].get("classes", ()))
