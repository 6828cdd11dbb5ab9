"""Values while they are learned: the loss, and the sums that the metrics follow from.

Losses are in standard units (what was left of targets without their mean, over their scale), metrics in the targets'
own units.

Shape legend: B batch, V values to predict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from harness.problems.outputs import Outputs, prediction
from harness.problems.problem import Seen
from harness.records import NAN, TaskShape


class Residuals:
    """Errors and the spread of the targets, from which metrics follow as scikit-learn defines them.

    Means and squared deviations are merged batch by batch (Chan, Golub and LeVeque, 1979), which stays exact when the
    targets lie far from zero. Sums are float64 (float32 on MPS, which has no other). With several values a sample, each
    metric is the mean over the values.
    """

    def __init__(self, device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._samples = 0
        # Rows: mean target, its squared deviations, squared errors, absolute errors; broadcast to V by the first batch.
        self._sums_4V = torch.zeros(4, 1, dtype=self._dtype, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: ``B x V`` outputs with ``B x V`` targets; for one value either may be ``B`` alone."""
        added = len(targets)
        if added == 0:
            return
        targets_BV = targets.detach().reshape(added, -1).to(self._dtype)
        errors_BV = outputs.detach().reshape(added, -1).to(self._dtype) - targets_BV
        mean_V, deviations_V, squares_V, absolutes_V = self._sums_4V
        batch_mean_V = targets_BV.mean(dim=0)
        shift_V = batch_mean_V - mean_V
        share = added / (self._samples + added)
        deviations_V = deviations_V + (targets_BV - batch_mean_V).square().sum(dim=0)
        self._sums_4V = torch.stack(
            [
                mean_V + shift_V * share,
                deviations_V + shift_V.square() * self._samples * share,
                squares_V + errors_BV.square().sum(dim=0),
                absolutes_V + errors_BV.abs().sum(dim=0),
            ]
        )
        self._samples += added

    def metrics(self) -> dict[str, float]:
        """Return the metrics; ``r2`` of fewer than two samples is NaN, of constant targets 1 if exact, else 0."""
        samples = self._samples or NAN
        _, deviations_V, squares_V, absolutes_V = self._sums_4V.cpu().double().numpy()
        unexplained_V = np.divide(squares_V, deviations_V, out=np.sign(squares_V), where=deviations_V > 0)
        return {
            "rmse": float(np.sqrt(squares_V / samples).mean()),
            "mae": float(absolutes_V.mean() / samples),
            "r2": float((1 - unexplained_V).mean()) if samples > 1 else NAN,
        }


class MixedValues(ABC):
    """What losses of values have in common: of mixed samples they are those against both targets."""

    @abstractmethod
    def _each(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each value."""

    @abstractmethod
    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the plain mean loss."""

    def training_loss(self, scores: Tensor, batch: Seen) -> Tensor:
        """Return the mean loss; of mixed samples that against both targets, weighted by their shares."""
        if batch.mix is None or batch.mixed_targets is None:
            return self.loss(scores, batch.targets)
        first, second = (self._each(scores, targets) for targets in (batch.targets, batch.mixed_targets))
        share = _per_sample(batch.mix, first)
        return (share * first + (1 - share) * second).mean()

    def weight(self, batch: Seen) -> int:
        """Return the number of samples."""
        return len(batch.targets)

    def targets_seen(self, batch: Seen) -> Tensor:
        """Return the value, of a mixed sample the mixture of both."""
        if batch.mix is None or batch.mixed_targets is None:
            return batch.targets
        share = _per_sample(batch.mix, batch.targets)
        return share * batch.targets + (1 - share) * batch.mixed_targets


class Values(MixedValues):
    """Squared or Huber loss (delta 1) of standardised targets: ``B`` or ``B x V``, whatever the targets are."""

    def __init__(self, function: Callable[..., Tensor], scale: float | Tensor) -> None:
        self._function = function
        self._scale = scale

    def scores(self, outputs: Outputs) -> Tensor:
        """Return standardised values; a single column becomes ``B``."""
        values = prediction(outputs)
        # Not a bare squeeze, which torch leaves undone for several columns and ONNX refuses.
        return values.squeeze(1) if values.ndim == 2 and values.shape[1] == 1 else values

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

    def answers(self, scores: Tensor) -> Tensor:
        """Return the predictions: values are used as they are."""
        return self.predictions(scores)


def units(shape: TaskShape, device: torch.device) -> float | Tensor:
    """Return one standard unit of the value to predict, or a float32 tensor of those of ``V`` values."""
    each = [unit if unit > 0.0 else 1.0 for unit in shape.scale]  # what is always equal has no spread to divide by
    return torch.tensor(each, device=device) if len(each) > 1 else (each or [1.0])[0]


def _per_sample(share_B: Tensor, like: Tensor) -> Tensor:
    return share_B.view(-1, *(1,) * (like.ndim - 1))
