"""Forecasts while they are learned: their loss, and the sums that metrics follow from.

Shape legend: B batch, H steps ahead, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.problems.outputs import Outputs, prediction
from harness.problems.quantile_scores import METRICS, middle_of
from harness.problems.quantiles import in_order, pinball, sums_of_quantiles
from harness.problems.values import MixedValues
from harness.records import NAN, Target

_LOSSES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mae": torch.abs,
    "mse": torch.square,
    # Quadratic up to an error of 1, linear beyond.
    "huber": lambda errors: F.huber_loss(errors, torch.zeros_like(errors), reduction="none"),
}


class Forecasts(MixedValues):
    """The loss of forecasts: of errors in units of the seasonal naive one, or of logarithms in standard units."""

    def __init__(self, loss: str, target: Target, device: torch.device) -> None:
        self._loss = loss
        self._steps = target.shape[0] - 1
        self._levels_Q = torch.tensor(target.quantiles, device=device)
        self._scale_H = torch.tensor([each or 1.0 for each in target.scale[:-1]], device=device)
        self._own_unit = bool(target.scale[-1])

    def scores(self, outputs: Outputs) -> Tensor:
        """Return ``B x H`` values, or ``B x H x Q`` quantiles which ascend, in standard units."""
        values = prediction(outputs)
        if not len(self._levels_Q):
            return values
        return in_order(values.unflatten(1, (self._steps, len(self._levels_Q))))

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss."""
        return self._each(scores, targets).mean()

    def _each(self, scores: Tensor, targets: Tensor) -> Tensor:
        errors = _errors(self.predictions(scores), targets)
        unit = targets[:, -1:] if self._own_unit else self._scale_H
        errors = errors / (unit if errors.ndim == 2 else unit.unsqueeze(-1))
        return _LOSSES[self._loss](errors) if errors.ndim == 2 else pinball(errors, self._levels_Q)

    def predictions(self, scores: Tensor) -> Tensor:
        """Return values as they are learned: less their mean, or that of their logarithms."""
        return scores * (self._scale_H if scores.ndim == 2 else self._scale_H.unsqueeze(-1))

    def answers(self, scores: Tensor) -> Tensor:
        """Return the predictions."""
        return self.predictions(scores)


class ForecastErrors:
    """Sums of the errors of forecasts in the units of the target; float64, but on MPS, which has none."""

    def __init__(self, target: Target, device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._centre_H = torch.tensor(target.centre[:-1], dtype=self._dtype, device=device)
        self._levels_Q = torch.tensor(target.quantiles, dtype=self._dtype, device=device)
        self._middle = middle_of(target.quantiles) if target.quantiles else 0
        self._log = target.log
        self._samples = 0
        self._sums = torch.zeros(4 + len(METRICS) * bool(target.quantiles), dtype=self._dtype, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch of predictions and targets as they are learned."""
        if not len(targets):
            return
        outputs, targets = outputs.detach().to(self._dtype), targets.detach().to(self._dtype)
        values, naive = self._own(targets[:, :-1]), targets[:, -1]
        quantiles = self._own(outputs) if outputs.ndim == 3 else None
        said = self._own(outputs) if quantiles is None else quantiles[:, :, self._middle]
        errors = (said - values).abs()
        shares = (2.0 * errors / (said.abs() + values.abs())).nan_to_num(nan=0.0)
        sums = [(errors.mean(dim=1) / naive).sum(), shares.mean(dim=1).sum(), errors.square().mean(dim=1).sum()]
        sums.append(errors.mean(dim=1).sum())
        sums += sums_of_quantiles(quantiles, values, self._levels_Q) if quantiles is not None else []
        self._sums = self._sums + torch.stack(sums)
        self._samples += len(targets)

    def _own(self, values: Tensor) -> Tensor:
        values = values + (self._centre_H if values.ndim == 2 else self._centre_H.unsqueeze(-1))
        return values.exp() if self._log else values

    def metrics(self) -> dict[str, float]:
        """Return the means over all samples; those of quantiles where there are any."""
        mase, smape, square, mae, *rest = (self._sums.cpu().double() / (self._samples or NAN)).tolist()
        of_quantiles = dict(zip(METRICS, rest, strict=True)) if rest else {}
        return {"mase": mase, "smape": smape, "rmse": square**0.5, "mae": mae, **of_quantiles}


def _errors(predictions: Tensor, targets: Tensor) -> Tensor:
    values = targets[:, :-1]
    return predictions - (values if predictions.ndim == 2 else values.unsqueeze(-1))
