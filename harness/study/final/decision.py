"""Which of the models that were measured on the same samples is to be the final one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.records import NAN
from harness.study.final.recipes import Recipe
from harness.study.final.residuals import Residuals

Losses = NDArray[np.float64]
KEPT = "kept weights"


@dataclass(frozen=True, eq=False)
class Tried:
    """One model as it was measured on validation."""

    what: str
    losses: Losses
    """The plain loss of each sample, at the temperature."""
    objective: float = NAN
    """The first objective."""
    recipe: Recipe | None = None
    """None: the weights that the search left."""
    members: int = 1
    temperature: float = 1.0
    """What logits of classes are divided by; 1 leaves them as they are."""
    residuals: Residuals | None = None
    """The errors of values."""

    @property
    def loss(self) -> float:
        """The plain mean loss."""
        return float(self.losses.mean())


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger one mean loss is than another on the same samples, and how sure that is."""

    mean: float
    standard_error: float
    """Of the mean of the samples' differences (a paired comparison); NaN for fewer than two samples."""

    @property
    def worse(self) -> bool:
        """Whether it is larger by more than one standard error; if that is unknown, whether it is larger at all."""
        return self.mean > (0.0 if math.isnan(self.standard_error) else self.standard_error)


@dataclass(frozen=True, eq=False)
class Decision:
    """What was compared, and what was chosen."""

    tried: tuple[Tried, ...]
    chosen: Tried
    against: tuple[Tried | None, ...]
    """What each was compared with."""

    def rows(self, chosen: str) -> list[dict[str, Any]]:
        """Return a row for each, of which the one called ``chosen`` became the final model."""
        return [_row(tried, other, tried.what == chosen) for tried, other in zip(self.tried, self.against, strict=True)]

    @property
    def why(self) -> str:
        """The figures that decided, in a few words."""
        best = min(self.tried[1:], key=lambda tried: tried.loss, default=None)
        shown = best if self.chosen is self.tried[0] else self.chosen
        if shown is None:
            return ""
        other = self.against[self.tried.index(shown)] or self.tried[0]
        found = compare(shown.losses, other.losses)
        return (
            f"loss on validation {shown.loss:.4g} of {shown.what}, {other.loss:.4g} of {other.what} "
            f"(difference {found.mean:+.2g}, standard error {found.standard_error:.2g})"
        )


def decide(kept: Tried, singles: Sequence[Tried], average: Tried | None) -> Decision:
    """Choose by the plain loss on validation, which is a proper score.

    The best of the single refits is taken unless it is worse than the kept weights by more than one standard error of
    the difference. Validation has chosen the kept weights, so it favours them already. An average is taken unless it is
    worse than the kept weights in the same sense. It is not held against the single refit, which is one of its members:
    the losses are convex, so an average costs no more than its members do in the mean (Jensen's inequality), and one
    that did better was lucky in its seed.
    """
    best = min(singles, key=lambda tried: tried.loss, default=kept)
    chosen = kept if compare(best.losses, kept.losses).worse else best
    tried, against = [kept, *singles], [None, *[kept] * len(singles)]
    if average is not None:
        chosen = chosen if compare(average.losses, kept.losses).worse else average
        tried, against = [*tried, average], [*against, kept]
    return Decision(tuple(tried), chosen, tuple(against))


def compare(losses: Losses, others: Losses) -> Difference:
    """Return how much larger the first losses are, sample by sample."""
    differences = losses - others
    count = len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(count) if count > 1 else NAN
    return Difference(float(differences.mean()), error)


def _row(tried: Tried, other: Tried | None, chosen: bool) -> dict[str, Any]:
    found = compare(tried.losses, other.losses) if other else Difference(NAN, NAN)
    return {
        "what": tried.what,
        "members": tried.members,
        "temperature": tried.temperature,
        "objective": tried.objective,
        "loss": tried.loss,
        "against": other.what if other else "",
        "difference": found.mean,
        "standard_error": found.standard_error,
        "chosen": chosen,
    }
