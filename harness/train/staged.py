"""The recipe of a model that is fitted to all samples at once, by other means than steps down a gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.data import Batch
from harness.errors import first_line
from harness.models import Samples, fitting_of, parse
from harness.plan import forward_of, prepare
from harness.problems import LOSS, problems
from harness.problems.values import units
from harness.records import Plan, TaskShape
from harness.spec import Candidate
from harness.train.learner import Learner
from harness.train.recipe import Mean, Taken
from harness.train.supervised import parts
from harness.train.targets import OnTargets, Targets

AT_ONCE = 512
"""Samples that go through the model together."""


class Staged(OnTargets):
    """Fits ``model`` in stages, each of which is a step; a batch is to hold all samples.

    A training that goes on from a checkpoint is fitted anew up to there, at its next step: that comes to the same.
    Raises, while it is stepped, RuntimeError for samples that cannot be fitted, and whatever ``check`` raises.
    """

    patience = 0

    def __init__(
        self,
        model: nn.Module,
        candidate: Candidate,
        targets: Targets,
        plan: Plan,
        *,
        stages: int,
        seed: int,
        check: Callable[[], None],
    ) -> None:
        super().__init__(candidate, targets, plan)
        self.identity = candidate.as_dict()  # the architecture too, as no tensor tells it
        device = torch.device(plan.device)
        self.model = prepare(model, device=device, layout="contiguous")
        self._forward_in_use = forward_of(model, device=device, precision="fp32", layout="contiguous")
        self._learner = Learner(model, ())
        self.parts = {"model": self._learner}
        self._stages, self._seed, self._check = stages, seed, check
        self._fit: Iterator[None] = iter(())
        self._fitted = 0
        """Stages that have been done."""
        self._warnings: list[str] = []

    def step(self, batch: Batch, *, measure: bool) -> Taken:
        """Do the stages up to the one that the step is."""
        del measure  # there are no gradients
        if self._fitted == 0:
            self._fit = self._begun(batch)
        while self._fitted <= self._learner.step:
            self._go_on()
        with torch.inference_mode():
            forward = self._forward_in_use
            scores = torch.cat([self._criterion.scores(forward(part.inputs)) for part in parts(batch, AT_ONCE)])
            loss = self._criterion.loss(scores, batch.targets)
        return Taken({LOSS: Mean(loss, len(scores))}, len(scores), {}, (scores, batch.targets))

    def settle(self, batches: Iterable[Batch]) -> None:
        """Do nothing: there is no average of weights."""

    def remark(self, metrics: Mapping[str, float]) -> str:
        """Say what was warned of, and where the model has hardly learned."""
        return "; ".join(filter(None, [*dict.fromkeys(self._warnings), super().remark(metrics)]))

    def _begun(self, batch: Batch) -> Iterator[None]:
        """Return the fit, of which nothing has been done."""
        fitting = fitting_of(self.candidate.architecture)
        assert fitting is not None, "the family is fitted"
        targets = batch.targets.cpu()
        samples = Samples(
            inputs=tuple(x.cpu() for x in batch.inputs),
            targets=_standard(targets, self.targets.shape),
            weights=self._weights(targets.numpy()),
            seed=self._seed % 2**32,
            stages=self._stages,
            check=self._check,
        )
        return fitting.fit(parse(self.candidate.architecture), self.model, samples)

    def _weights(self, targets: NDArray[np.generic]) -> NDArray[np.float64] | None:
        """Return the weight of each sample, where classes are to count as their numbers do not."""
        counts = self.targets.class_counts
        if self.candidate.training.class_weights == "none" or counts is None:
            return None
        from sklearn.utils.class_weight import compute_sample_weight

        weights: NDArray[np.float64] = compute_sample_weight("balanced", targets)
        return weights

    def _go_on(self) -> None:
        """Do the next stage, and remember what was warned of."""
        from threadpoolctl import threadpool_limits

        with warnings.catch_warnings(record=True) as caught, threadpool_limits(self.plan.threads):
            warnings.simplefilter("always")
            try:
                next(self._fit)
            except ValueError as error:
                raise RuntimeError(f"it cannot be fitted: {first_line(error)}") from error
        self._fitted += 1
        self._warnings += [f"{each.category.__name__}: {first_line(each.message)}" for each in caught]


def _standard(targets: Tensor, shape: TaskShape) -> NDArray[Any]:
    """Return codes of classes, or values in standard units, as :class:`harness.models.Samples` has them."""
    if problems[shape.kind].classes:
        return targets.numpy()
    values: NDArray[np.float64] = (targets.double().reshape(len(targets), -1) / units(shape, targets.device)).numpy()
    return values
