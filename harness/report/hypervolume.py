"""How much of the space of objectives a Pareto front covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.records import NAN
from harness.study.pareto import Floats, signed

_BEYOND = 0.1


@dataclass(frozen=True)
class Hypervolume:
    """The hypervolume that a front dominates, up to a reference point (Zitzler and Thiele, 1998)."""

    volume: float
    """In the product of the objectives' units; NaN where ``reason`` says why there is none."""
    share: float
    """Of the box between the reference point and the best value of each objective."""
    reference: tuple[float, ...]
    """In the objectives' own units and order."""
    reason: str = ""


def hypervolume(front: Floats, maximize: Sequence[bool]) -> Hypervolume:
    """Return the hypervolume of a front, shape (trials, objectives), without NaN.

    The reference point is a tenth of the front's range in each objective beyond the worst value on the front, so that
    its ends count too and no trial that went wrong moves it (Ishibuchi et al., 2018, Evolutionary Computation 26:411).
    It moves with the front: compare two searches only at one reference point.
    """
    losses = -signed(front, maximize)
    if not len(losses) or (losses.max(axis=0) <= losses.min(axis=0)).any():
        return Hypervolume(NAN, NAN, (), "the members of the front do not differ in every objective")
    ideal, worst = losses.min(axis=0), losses.max(axis=0)
    # Optuna has no public function for the number alone; only the one that draws its history is public.
    from optuna._hypervolume import compute_hypervolume

    reference = worst + _BEYOND * (worst - ideal)
    volume = float(compute_hypervolume(losses, reference))
    shown = np.where(np.asarray(maximize, dtype=np.bool_), -reference, reference)
    return Hypervolume(volume, volume / float(np.prod(reference - ideal)), tuple(shown.tolist()))
