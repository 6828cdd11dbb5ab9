"""The best trials averaged as the search left them, where validation does not speak against it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.data import Dataset
from harness.study.final.decision import KEPT, Decision, decide
from harness.study.final.inference import Inference
from harness.study.final.mixture import Mixer
from harness.study.final.outcome import Made, calibrated_as
from harness.study.final.trying import Trier
from harness.study.job import Job

TRIALS = "trials"
"""How a final model came about that is an average of trials."""
_LOSS = "auto"


@dataclass
class Mixing:
    """Compares the average of trials with the winner alone."""

    job: Job
    dataset: Dataset
    mixer: Mixer
    decision: Decision | None = None
    """What was compared; None: nothing was."""
    notes: list[str] = field(default_factory=list)

    def made(self, kept: Made, answers: NDArray[np.floating]) -> Made:
        """Return the average, or the winner's weights, which say ``answers`` of validation, where these do as well.

        The average is judged by what others like it say of samples that they were not selected on, and calibrated by
        what it says itself.
        """
        trier = Trier(self.job, self.dataset, _LOSS)
        single, selected = trier.tried(KEPT, answers), self.mixer.mix()
        kept, mixture = calibrated_as(kept, single), selected.mixture
        self.notes += [*selected.notes, *trier.notes]
        if mixture is None or len(mixture.records) == 1:
            self.notes += [] if mixture is None else ["no average of trials is better on validation than one alone"]
            return kept
        count = len(mixture.records)
        inference = Inference(mixture.model, self.dataset.shape, mixture.plan, _LOSS)
        own = trier.tried(f"average of {count} trials", inference.outputs(self.dataset.validation), members=count)
        if selected.halves is not None:
            apart = trier.tried(own.what, selected.halves)
            self.decision = decide(single, [], replace(own, losses=apart.losses, objective=apart.objective))
            if self.decision.chosen is single:
                return kept
        return calibrated_as(
            Made(TRIALS, own.what, mixture.model, mixture.plan, self.dataset, count, mixture=mixture), own
        )
