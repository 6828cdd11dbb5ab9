"""Quantiles while they are learned: the pinball loss, and the sums that metrics follow from.

Quantiles of one value never cross, since what a model says of them is put in order; that makes none of them worse in
expectation (Chernozhukov, Fernandez-Val and Galichon, 2010, Econometrica 78:1093).

Shape legend: B batch, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.problems.outputs import Outputs, prediction
from harness.problems.quantile_scores import METRICS, middle_of, undefined
from harness.problems.values import MixedValues
from harness.records import NAN


def pinball(errors: Tensor, levels_Q: Tensor) -> Tensor:
    """Return the pinball loss of quantiles' errors, answer less value, ``B x ... x Q`` (Koenker and Bassett, 1978).

    >>> pinball(torch.tensor([[[-2.0, 1.0]]]), torch.tensor([0.25, 0.75])).tolist()
    [[[0.5, 0.25]]]
    """
    return torch.maximum(-levels_Q * errors, (1.0 - levels_Q) * errors)


def in_order(quantiles: Tensor) -> Tensor:
    """Return quantiles, ``B x ... x Q``, which ascend."""
    return quantiles.sort(dim=-1).values


def sums_of_quantiles(quantiles: Tensor, values: Tensor, levels_Q: Tensor) -> list[Tensor]:
    """Return the sums over samples of ``METRICS``, of ``B x ... x Q`` quantiles and ``B x ...`` values."""
    low, high = quantiles[..., 0], quantiles[..., -1]
    each = (
        pinball(quantiles - values.unsqueeze(-1), levels_Q),
        ((low <= values) & (values <= high)).to(quantiles.dtype),
        high - low,
    )
    return [measured.reshape(len(values), -1).mean(dim=1).sum() for measured in each]


class Quantiles(MixedValues):
    """The pinball loss of the quantiles of a standardised value, the mean over the quantiles."""

    def __init__(self, levels: Sequence[float], scale: float | Tensor, device: torch.device) -> None:
        self._levels_Q = torch.tensor(levels, device=device)
        self._scale = scale

    def scores(self, outputs: Outputs) -> Tensor:
        """Return ``B x Q`` quantiles which ascend, in standard units."""
        return in_order(prediction(outputs))

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss."""
        return self._each(scores, targets).mean()

    def _each(self, scores: Tensor, targets: Tensor) -> Tensor:
        return pinball(scores - targets.reshape(-1, 1) / self._scale, self._levels_Q)

    def predictions(self, scores: Tensor) -> Tensor:
        """Return quantiles in the target's own units, less its mean as the targets are."""
        return scores * self._scale

    def answers(self, scores: Tensor) -> Tensor:
        """Return the predictions."""
        return self.predictions(scores)


class QuantileErrors:
    """Sums over samples, of quantiles and of the errors of their median; float64, but on MPS, which has none."""

    def __init__(self, levels: Sequence[float], device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._levels_Q = torch.tensor(levels, dtype=self._dtype, device=device)
        self._levels = tuple(levels)
        self._samples = 0
        self._sums = torch.zeros(len(METRICS) + 2, dtype=self._dtype, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: ``B x Q`` quantiles, and values."""
        if not len(targets):
            return
        quantiles, values = outputs.detach().to(self._dtype), targets.detach().reshape(-1).to(self._dtype)
        errors = quantiles[:, middle_of(self._levels)] - values
        sums = [*sums_of_quantiles(quantiles, values, self._levels_Q), errors.square().sum(), errors.abs().sum()]
        self._sums = self._sums + torch.stack(sums)
        self._samples += len(targets)

    def metrics(self) -> dict[str, float]:
        """Return the means over all samples; NaN for what such quantiles do not have."""
        *means, square, absolute = (self._sums.cpu().double() / (self._samples or NAN)).tolist()
        found = {**dict(zip(METRICS, means, strict=True)), "rmse": square**0.5, "mae": absolute}
        return {name: NAN if undefined(name, self._levels) else value for name, value in found.items()}
