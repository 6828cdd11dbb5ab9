"""Running a trained model: its quality on one part of the data, or what it predicts. Nothing is learned here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from harness.data import Batches
from harness.models import evaluating
from harness.plan import Forward, forward_of, prepare, running
from harness.problems import LOSS, Quality, problems
from harness.records import NAN, Plan, TaskShape
from harness.spec.training import Training
from harness.train.loss import Criterion, make_criterion
from harness.train.tally import window


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics by name, the plain loss among them, and the measure that they came from (for figures per class)."""

    metrics: dict[str, float]
    quality: Quality
    answers: np.ndarray | None = None
    """Of every sample, where they were asked for; see :func:`predict`."""


def evaluate(
    model: nn.Module,
    batches: Batches,
    *,
    shape: TaskShape,
    plan: Plan,
    loss: str = "auto",
    answers: bool = False,
) -> Evaluation:
    """Measure ``model`` on every batch of the first epoch of ``batches``, as it would be in use.

    ``loss`` is the plain loss to report (see :mod:`harness.train.loss`); ``answers`` are kept if asked for.
    """
    criterion = _criterion(shape, plan, loss)
    with running(plan):
        device = torch.device(plan.device)
        return assess(model, _forward(model, plan), batches, criterion, shape, device, answers=answers)


def predict(
    model: nn.Module,
    batches: Batches,
    *,
    shape: TaskShape,
    plan: Plan,
    loss: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and targets of every sample of the first epoch of ``batches``, in its order.

    Outputs are float32: ``N x C`` probabilities for classes (also with the ``binary`` loss), or ``N`` or ``N x V``
    values in the targets' own units, less their mean.
    """
    criterion = _criterion(shape, plan, loss)
    forward = _forward(model, plan)
    outputs, targets = [], []
    with running(plan), evaluating(model), torch.inference_mode():
        for batch in batches.epoch(1):
            outputs.append(criterion.answers(criterion.scores(forward(batch.inputs))))
            targets.append(batch.targets)
        return torch.cat(outputs).cpu().numpy(), torch.cat(targets).cpu().numpy()


def assess(
    model: nn.Module,
    forward: Forward,
    batches: Batches,
    criterion: Criterion,
    shape: TaskShape,
    device: torch.device,
    *,
    answers: bool = False,
) -> Evaluation:
    """Measure a prepared model; the device is waited for once, at the end, and once more for the ``answers``."""
    measure = problems[shape.kind].quality(shape, device)
    kept: list[Tensor] = []
    loss_sum = torch.zeros((), device=device)
    samples = 0
    with evaluating(model), torch.inference_mode():
        for scores, targets in _windows(forward, batches, criterion, window(batches.batch_size, shape.outputs)):
            loss_sum += criterion.loss(scores, targets) * len(targets)
            measure.update(criterion.predictions(scores), targets)
            samples += len(targets)
            if answers:
                kept.append(criterion.answers(scores))
    metrics = {LOSS: loss_sum.item() / samples if samples else NAN, **measure.metrics()}
    return Evaluation(metrics, measure, torch.cat(kept).cpu().numpy() if kept else None)


def _windows(forward: Forward, batches: Batches, criterion: Criterion, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield scores and targets of several batches at a time, which is cheaper to measure than one by one."""
    scores: list[Tensor] = []
    targets: list[Tensor] = []
    for number, batch in enumerate(batches.epoch(1), start=1):
        scores.append(criterion.scores(forward(batch.inputs)))
        targets.append(batch.targets)
        if number % steps == 0:
            yield torch.cat(scores), torch.cat(targets)
            scores, targets = [], []
    if scores:
        yield torch.cat(scores), torch.cat(targets)


def _criterion(shape: TaskShape, plan: Plan, loss: str) -> Criterion:
    training = Training.model_validate({"loss": loss})
    return make_criterion(shape, training, class_counts=None, device=torch.device(plan.device))


def _forward(model: nn.Module, plan: Plan) -> Forward:
    device = torch.device(plan.device)
    prepare(model, device=device, layout=plan.layout)
    return forward_of(model, device=device, precision=plan.precision, layout=plan.layout)
