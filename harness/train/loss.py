"""What a batch costs: the loss that is minimised, and the plain loss that is reported on validation.

The loss that is minimised has label smoothing, class weights and both targets of mixed samples in it. The plain loss
has none of them, so that candidates which differ in them can be compared by it. Losses of values are in standard units
(what was left of targets without their mean, over their scale); metrics are in the targets' own units.

Shape legend: B batch, C classes, V values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data import Batch
from harness.errors import InputError
from harness.models import Outputs, prediction
from harness.records import TaskKind, TaskShape
from harness.spec.training import Training

LOSSES = {TaskKind.CLASSIFICATION: ("cross_entropy", "binary"), TaskKind.REGRESSION: ("mse", "huber")}
"""The losses that fit each kind of task; the first is what ``auto`` means."""


class Criterion(Protocol):
    """The loss of one kind of task."""

    def scores(self, outputs: Outputs) -> Tensor:
        """Return what losses and metrics take, from what the model returns."""

    def training_loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss that is minimised, without L1: a mean over the batch."""

    def weight(self, batch: Batch) -> Tensor | int:
        """Return what that mean divides by: the number of samples, or the sum of their class weights."""

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the plain mean loss."""

    def predictions(self, scores: Tensor) -> Tensor:
        """Return what is compared with the targets: ``B x C`` logits, or values in the targets' units."""

    def targets_seen(self, batch: Batch) -> Tensor:
        """Return one target per sample: of a mixed sample the weightier class, or the mixed value."""


def loss_name(shape: TaskShape, loss: str) -> str:
    """Return the loss to use, ``auto`` resolved. Raises :class:`InputError` for one that does not fit the task."""
    fitting = LOSSES[shape.kind]
    if loss == "auto":
        return fitting[0]
    if loss not in fitting:
        raise InputError(f"loss: {loss!r} does not fit a {shape.kind} task; use auto, {' or '.join(fitting)}")
    if loss == "binary" and shape.outputs != 2:
        raise InputError(f"loss: 'binary' needs two classes, the task has {shape.outputs}; use cross_entropy")
    return loss


def outputs_for(shape: TaskShape, loss: str) -> int:
    """Return how many outputs the model must have: 1 for ``binary``, else ``shape.outputs``. Raises InputError."""
    return 1 if loss_name(shape, loss) == "binary" else shape.outputs


def make_criterion(
    shape: TaskShape,
    training: Training,
    *,
    class_counts: Sequence[int] | None,
    device: torch.device,
) -> Criterion:
    """Return the loss that ``training`` asks for. Raises :class:`InputError` for options that do not fit the task."""
    name = loss_name(shape, training.loss)
    if shape.kind is TaskKind.REGRESSION:
        for key, off in (("label_smoothing", 0.0), ("class_weights", "none")):
            if getattr(training, key) != off:
                raise InputError(f"{key}: is for classes, and this task predicts values; set it to {off}")
        return Values(F.mse_loss if name == "mse" else F.huber_loss, _units(shape, device))
    weights_C = None
    if training.class_weights == "balanced":
        if class_counts is None:
            raise ValueError("balanced class weights need class_counts")
        weights_C = balanced_weights(class_counts).to(device)
    return Labels(binary=name == "binary", smoothing=training.label_smoothing, weights_C=weights_C)


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """Return samples / (classes * count) for each class, as scikit-learn's ``balanced``; 0 for a class without any.

    Only the classes that occur are counted.
    """
    counts_C = torch.tensor(counts, dtype=torch.float64)
    weights_C = counts_C.sum() / ((counts_C > 0).sum() * counts_C)
    return weights_C.where(counts_C > 0, 0.0).float()


class Labels:
    """Cross-entropy over classes. Binary cross-entropy of one logit z is the same of the two logits 0 and z.

    Label smoothing is Szegedy et al.'s (2016, arXiv:1512.00567): that share of a target is spread over all classes.
    With class weights the mean is weighted, divided by the sum of the weights in the batch, as torch does it.
    """

    def __init__(self, *, binary: bool, smoothing: float, weights_C: Tensor | None) -> None:
        self._binary = binary
        self._smoothing = smoothing
        self._weights_C = weights_C

    def scores(self, outputs: Outputs) -> Tensor:
        """Return ``B x C`` logits."""
        return F.pad(prediction(outputs), (1, 0)) if self._binary else prediction(outputs)

    def training_loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the weighted, smoothed cross-entropy."""
        if batch.mix is None or batch.mixed_targets is None:
            return F.cross_entropy(scores, batch.targets, self._weights_C, label_smoothing=self._smoothing)
        share_B = batch.mix
        loss_B = share_B * self._each(scores, batch.targets) + (1 - share_B) * self._each(scores, batch.mixed_targets)
        if self._weights_C is None:
            return loss_B.mean()
        return loss_B.sum() / self.weight(batch)

    def weight(self, batch: Batch) -> Tensor | int:
        """Return the number of samples, or the sum of their class weights, those of mixed samples mixed."""
        if self._weights_C is None:
            return len(batch.targets)
        if batch.mix is None or batch.mixed_targets is None:
            return self._weights_C[batch.targets].sum()
        share_B = batch.mix
        weight_B = share_B * self._weights_C[batch.targets] + (1 - share_B) * self._weights_C[batch.mixed_targets]
        return weight_B.sum()

    def _each(self, scores: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(scores, targets, self._weights_C, label_smoothing=self._smoothing, reduction="none")

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the plain cross-entropy in nats."""
        return F.cross_entropy(scores, targets)

    def predictions(self, scores: Tensor) -> Tensor:
        """Return the logits."""
        return scores

    def targets_seen(self, batch: Batch) -> Tensor:
        """Return the class, of a mixed sample the one with the larger share."""
        if batch.mix is None or batch.mixed_targets is None:
            return batch.targets
        return batch.targets.where(batch.mix >= 0.5, batch.mixed_targets)


class Values:
    """Squared or Huber loss (delta 1) of standardised targets: ``B`` or ``B x V``, whatever the targets are."""

    def __init__(self, function: Callable[..., Tensor], scale: float | Tensor) -> None:
        self._function = function
        self._scale = scale

    def scores(self, outputs: Outputs) -> Tensor:
        """Return standardised values; a single column becomes ``B``."""
        values = prediction(outputs)
        return values.squeeze(1) if values.ndim == 2 else values

    def training_loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss; of mixed samples that against both targets, weighted by their shares."""
        if batch.mix is None or batch.mixed_targets is None:
            return self.loss(scores, batch.targets)
        first, second = (self._each(scores, targets) for targets in (batch.targets, batch.mixed_targets))
        share = _per_sample(batch.mix, first)
        return (share * first + (1 - share) * second).mean()

    def weight(self, batch: Batch) -> int:
        """Return the number of samples."""
        return len(batch.targets)

    def _each(self, scores: Tensor, targets: Tensor) -> Tensor:
        return self._function(scores, self._standardised(scores, targets), reduction="none")

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss in standard units."""
        return self._function(scores, self._standardised(scores, targets))

    def _standardised(self, scores: Tensor, targets: Tensor) -> Tensor:
        return targets.reshape(scores.shape) / self._scale

    def predictions(self, scores: Tensor) -> Tensor:
        """Return values in the targets' own units, less their mean as the targets are."""
        return scores * self._scale

    def targets_seen(self, batch: Batch) -> Tensor:
        """Return the value, of a mixed sample the mixture of both."""
        if batch.mix is None or batch.mixed_targets is None:
            return batch.targets
        share = _per_sample(batch.mix, batch.targets)
        return share * batch.targets + (1 - share) * batch.mixed_targets


def _units(shape: TaskShape, device: torch.device) -> float | Tensor:
    """Return one standard unit of the value to predict, or a float32 tensor of those of ``V`` values."""
    units = [unit if unit > 0.0 else 1.0 for unit in shape.scale]  # what is always equal has no spread to divide by
    return torch.tensor(units, device=device) if len(units) > 1 else (units or [1.0])[0]


def _per_sample(share_B: Tensor, like: Tensor) -> Tensor:
    return share_B.view(-1, *(1,) * (like.ndim - 1))
