"""Models measured on validation before one of them is chosen, each calibrated as the validation samples ask for."""

from __future__ import annotations

import math

import numpy as np
import torch

from harness.data import TrainingData
from harness.errors import Diverged
from harness.measure.isotonic import along_curves, fit_isotonic
from harness.measure.temperature import fit_temperature, tempered
from harness.models import Curves
from harness.problems import LOSS, Undefined, problem_of
from harness.records import NAN
from harness.study.final.decision import Tried
from harness.study.final.recipes import Recipe
from harness.study.job import Job
from harness.train.loss import loss_name


class Trier:
    """Measures what models predict of the validation samples of a data set."""

    def __init__(self, job: Job, dataset: TrainingData, loss: str) -> None:
        """``loss``: what the models were trained with, whose plain form is measured."""
        self._job = job
        self._dataset = dataset
        self._loss = loss
        self._problem = problem_of(dataset.shape)
        self.notes: list[str] = []
        """What there are too few samples for."""

    def tried(self, what: str, outputs: np.ndarray, recipe: Recipe | None = None, members: int = 1) -> Tried:
        """Measure predictions of the validation samples. Raises :class:`Diverged` where they are no numbers."""
        shape, targets = self._dataset.shape, self._dataset.validation.targets
        name = loss_name(shape, self._loss)
        isotonic = self._isotonic(outputs)
        temperature = 1.0 if isotonic else self._temperature(outputs)
        if isotonic:
            outputs = along_curves(outputs, isotonic)
        elif temperature != 1.0:
            outputs = tempered(outputs, temperature)
        losses = self._problem.losses_of(outputs, targets, loss=name, scale=shape.scale)
        loss = float(losses.mean())
        if not math.isfinite(loss):
            raise Diverged(f"its loss on validation is {loss}")
        return Tried(what, losses, self._objective(outputs, loss), recipe, members, temperature, isotonic, outputs)

    def _objective(self, outputs: np.ndarray, loss: float) -> float:
        """Return the first objective; NaN where it has no value."""
        part, scorer = self._dataset.validation, self._job.scorer
        measure = self._problem.quality(self._dataset.shape, torch.device("cpu"))
        measure.update(torch.from_numpy(outputs), torch.from_numpy(part.targets))
        more = scorer.measure(part.truth, self._problem.own_units(outputs, self._dataset.shape)).values
        return {LOSS: loss, **measure.metrics(), **more}.get(self._job.objectives[0].metric, NAN)

    def _temperature(self, outputs: np.ndarray) -> float:
        """Return the temperature that the validation samples ask for; 1 for values, or where none is wanted."""
        wanted = self._job.spec.training.calibration != "none"
        if not (wanted and self._problem.calibrated and np.isfinite(outputs).all()):
            return 1.0
        return fit_temperature(outputs, self._dataset.validation.targets)

    def _isotonic(self, outputs: np.ndarray) -> Curves:
        """Return the curves that the validation samples ask for; none where none are wanted, or these are too few."""
        wanted = self._job.spec.training.calibration == "isotonic"
        if not (wanted and self._problem.calibrated and np.isfinite(outputs).all()):
            return ()
        try:
            return fit_isotonic(outputs, self._dataset.validation.targets)
        except Undefined as error:
            note = f"no isotonic calibration: {error}; a temperature is used instead"
            self.notes += [note] if note not in self.notes else []
            return ()
