"""The recipe of a model that learns targets: forward, loss, backward, step. Except in fp16 it never waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from harness.data import Batch
from harness.plan import forward_of, prepare
from harness.problems import LOSS
from harness.records import Figures, Plan
from harness.spec import Candidate
from harness.spec.names import SCHEDULES
from harness.train.average import Average
from harness.train.learner import Learner
from harness.train.loss import cost
from harness.train.optimizer import build_optimizers
from harness.train.recipe import Mean, Taken
from harness.train.schedule import anneals
from harness.train.targets import OnTargets, Targets
from harness.train.weights import split_weights


class Supervised(OnTargets):
    """Trains ``model`` in place as a candidate says, where and how a plan says.

    Of a batch larger than the plan's ``micro_batch`` (0: none is) only so many samples go through the model at once;
    the gradients of the parts add up to those of the batch. What a layer makes of other samples or of chance it makes
    of each part: batch norm sees the statistics of the parts, and dropout draws for one part after the other.

    ``model`` is built for ``outputs_for(shape, training.loss)`` outputs, each part in the mode it is to be trained in,
    as :func:`harness.models.build` leaves it; it is moved to the plan's device and layout. A schedule of the learning
    rate that anneals is gone to its end, whatever the candidate's patience. Raises :class:`InputError` for an option
    that is unknown, out of bounds or does not fit the task.
    """

    def __init__(self, model: nn.Module, candidate: Candidate, targets: Targets, plan: Plan) -> None:
        training, device = candidate.training, torch.device(plan.device)
        prepare(model, device=device, layout=plan.layout)
        super().__init__(candidate, targets, plan)
        self.patience = 0 if anneals(candidate.schedule) else training.patience
        scaler = GradScaler(device.type) if plan.precision == "fp16" else None
        self._learner = Learner(
            model,
            build_optimizers(candidate.optimizer, model, scaled=scaler is not None),
            schedules={key: getattr(candidate, key) for key in SCHEDULES},
            scaler=scaler,
            clip_norm=training.clip_norm,
            average=Average(model, decay=training.ema, share=training.swa) if training.averages else None,
        )
        self.parts = {"model": self._learner}
        self.model = model if self._learner.average is None else self._learner.average.module
        self._forward, self._forward_in_use = (
            forward_of(each, device=device, precision=plan.precision, layout=plan.layout)
            for each in (model, self.model)
        )
        self._l1 = training.l1
        self._weights = split_weights(model)[0]

    def step(self, batch: Batch, *, measure: bool) -> Taken:
        """Take a step."""
        samples = len(batch.targets)
        if 0 < self.plan.micro_batch < samples:
            loss, scores = self._in_parts(batch)
        else:
            loss, scores = self._at_once(batch)
        norms = self._learner.descend(measure=measure)
        kept = scores.detach(), self._criterion.targets_seen(batch)
        return Taken({LOSS: Mean(loss.detach(), samples)}, samples, {} if norms is None else {"model": norms}, kept)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Make an average of weights fit for use."""
        if self._learner.average is not None:
            self._learner.average.settle(self._look, batches)

    def judged(self, metrics: Mapping[str, float], scores: Tensor) -> Figures:
        """Return metrics of scores that a stack has of all samples on which the model is assessed."""
        with torch.inference_mode():
            answers = self._criterion.answers(scores).numpy() if self.targets.scorer is not None else None
        return self.scored(metrics, answers)

    @property
    def penalised(self) -> bool:
        """Whether there is a penalty on weights."""
        return self._l1 > 0.0

    def penalise(self) -> float:
        """Add what the penalty on weights makes of their gradients; return the penalty."""
        with torch.no_grad():
            for weight in self._weights:
                assert weight.grad is not None
                weight.grad.add_(weight.sign(), alpha=self._l1)
            return float(self._penalty())

    def _look(self, batch: Batch) -> None:
        """Let the model in use see a batch, in parts as in training."""
        for part in parts(batch, self.plan.micro_batch or len(batch.targets)):
            self._forward_in_use(part.inputs)

    def _at_once(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Leave the gradients of the batch in the parameters; return its loss and scores."""
        loss, scores = cost(self._criterion, self._forward(batch.inputs), batch)
        if self._l1 > 0.0:
            loss = loss + self._penalty()
        self._learner.backward(loss)
        return loss, scores

    def _in_parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Do the same part by part, each with its share in the mean that the batch's loss is."""
        whole = self._criterion.weight(batch)
        losses, scores = [], []
        for part in parts(batch, self.plan.micro_batch):
            part_loss, part_scores = cost(self._criterion, self._forward(part.inputs), part)
            loss = part_loss * (self._criterion.weight(part) / whole)
            self._learner.backward(loss)
            losses.append(loss.detach())
            scores.append(part_scores.detach())
        if self._l1 > 0.0:
            penalty = self._penalty()
            self._learner.backward(penalty)
            losses.append(penalty.detach())
        return torch.stack(losses).sum(), torch.cat(scores)

    def _penalty(self) -> Tensor:
        return self._l1 * torch.stack([weight.abs().sum() for weight in self._weights]).sum()


def parts(batch: Batch, most: int) -> Iterator[Batch]:
    """Yield a batch in consecutive parts of at most ``most`` samples, as few as can be and of about the same size.

    A small remainder would give batch norm next to nothing to take its statistics from, and a single sample nothing at
    all: an odd batch in parts of two has one part of three.
    """
    samples = len(batch.targets)
    count = -(-samples // most)
    if most > 1:
        count = min(count, max(1, samples // 2))
    for number in range(count):
        rows = slice(samples * number // count, samples * (number + 1) // count)
        yield Batch(
            tuple(x[rows] for x in batch.inputs),
            batch.targets[rows],
            None if batch.mixed_targets is None else batch.mixed_targets[rows],
            None if batch.mix is None else batch.mix[rows],
        )
