"""The final model as it was made, and what it scored on the test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from harness.data import Dataset
from harness.measure.threshold import Threshold
from harness.models import Curves, calibrated
from harness.records import Plan
from harness.study.final.decision import Tried
from harness.study.final.mixture import Mixture
from harness.study.final.recipes import Recipe
from harness.study.final.residuals import Kept


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a final model rests on beside its trial's record."""

    trial: int
    """The number that its trial had, from which its seeds are drawn."""
    plan: Plan | None = None
    """How it was trained; None: that is chosen."""


@dataclass(frozen=True, eq=False)
class Made:
    """A final model that waits for its score."""

    how: str
    """``refit``, ``keep``, ``ensemble`` or ``trials``."""
    what: str
    """What it is called among what was compared."""
    model: nn.Module
    plan: Plan
    dataset: Dataset
    """What it was trained on; the preprocessing is fitted on that."""
    members: int = 1
    temperature: float = 1.0
    """What its logits of classes are divided by when it predicts; not in its weights."""
    isotonic: Curves = ()
    """What its probabilities are taken along instead; not in its weights either."""
    recipe: Recipe | None = None
    """How it, or each of its members, was trained."""
    answers: NDArray[np.floating] | None = None
    """What was said of validation by its rehearsal, or by itself where these are the weights of the search."""
    threshold: Threshold | None = None
    """From where on the second of two classes is predicted; None: the most probable class is."""
    residuals: Kept | None = None
    """Errors of its recipe on samples that it was not trained on; None of classes."""
    mixture: Mixture | None = None
    """The trials that it averages, if it does."""

    @property
    def predictor(self) -> nn.Module:
        """The model that predicts."""
        return calibrated(self.model, self.temperature, self.isotonic)


def calibrated_as(made: Made, tried: Tried) -> Made:
    """Return a model with the calibration of what was measured for it, and with what that said of validation."""
    return replace(made, temperature=tried.temperature, isotonic=tried.isotonic, answers=tried.answers)


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
    """``refit``, ``keep``, ``ensemble`` or ``trials``."""
    members: int
    trials: Sequence[Mapping[str, Any]]
    """Those that it averages, each with its weight; empty of any other."""
    temperature: float
    isotonic: bool
    threshold: Mapping[str, Any] | None
    """As ``stats.json`` has it, with the scores that the most probable class would have."""
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
            **({"trials": [dict(each) for each in self.trials]} if self.trials else {}),
            "temperature": self.temperature,
            **({"isotonic": True} if self.isotonic else {}),
            **({"threshold": dict(self.threshold)} if self.threshold else {}),
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
