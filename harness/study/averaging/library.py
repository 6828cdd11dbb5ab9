"""The trials of a search whose weights and predictions were kept, with its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data import Dataset
from harness.store import RunFolder
from harness.study.averaging.judging import in_one_frame
from harness.study.job import Job
from harness.study.keeping import Kept, best_trials
from harness.study.objectives import Objective

FEWEST = 2
"""Trials that an average takes."""


@dataclass(frozen=True, eq=False)
class Library:
    """What may be averaged."""

    folder: RunFolder
    job: Job
    dataset: Dataset
    kept: Sequence[Kept]
    """The best by the first objective first."""

    @property
    def outputs(self) -> np.ndarray:
        """What each trial says of the validation samples, in their order."""
        return np.stack([in_one_frame(self.job, each.outputs) for each in self.kept])


def in_rank(first: Objective, kept: Sequence[Kept]) -> list[Kept]:
    """Return what was kept of trials, the best by the first objective first."""
    by_trial = {each.record.trial: each for each in kept}
    return [by_trial[record.trial] for record in best_trials(first, (each.record for each in kept))]
