"""The final model as it was made, and what it scored on the test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from harness.data import Dataset
from harness.models import Tempered
from harness.records import Plan
from harness.study.final.residuals import Residuals


@dataclass(frozen=True, eq=False)
class Made:
    """A final model that waits for its score."""

    how: str
    """``refit``, ``keep`` or ``ensemble``."""
    what: str
    """What it is called among what was compared."""
    model: nn.Module
    plan: Plan
    dataset: Dataset
    """What it was trained on; the preprocessing is fitted on that."""
    members: int = 1
    temperature: float = 1.0
    """What its logits of classes are divided by when it predicts; not in its weights."""
    residuals: Residuals | None = None
    """Errors of its recipe on samples that it was not trained on; None of classes."""

    @property
    def predictor(self) -> nn.Module:
        """The model that predicts."""
        return self.model if self.temperature == 1.0 else Tempered(self.model, self.temperature)


@dataclass(frozen=True, slots=True)
class Cost:
    """What making the final model took and, of an ensemble, what using it takes."""

    rehearsal_s: float
    refit_s: float
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Final:
    """The winner's one look at the test samples."""

    how: str
    """``refit``, ``keep`` or ``ensemble``."""
    members: int
    temperature: float
    note: str
    decision: Sequence[Mapping[str, Any]]
    """What was compared on validation before, a row each; empty where nothing was."""
    cost: Cost
    metrics: Mapping[str, float]
    reasons: Mapping[str, str]
    """Why a metric has no value."""
    details: Mapping[str, Any]
    """Scores of each class and the confusion matrix, as far as there are any."""
    mistakes: Sequence[Mapping[str, Any]]
    """The test samples that the model got most wrong, small enough to be shown."""
    opened: int
    """How often this run has looked at the test samples; more than once when a finished run was extended."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``stats.json``."""
        return {
            "final": self.how,
            "members": self.members,
            "temperature": self.temperature,
            "note": self.note,
            "decision": [dict(row) for row in self.decision],
            "rehearsal_s": self.cost.rehearsal_s,
            "refit_s": self.cost.refit_s,
            "figures": dict(self.cost.figures),
            "opened": self.opened,
            "metrics": dict(self.metrics),
            "reasons": dict(self.reasons),
            "per_class": self.details.get("per_class"),
            "confusion": self.details.get("confusion"),
            "mistakes": list(self.mistakes),
        }
