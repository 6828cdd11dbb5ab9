"""Losses and qualities of several models of one task at once, each with samples of its own.

What comes out for a model does not depend on the others.

Shape legend: K models, B batch, N samples, C classes, Q quantiles, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from harness.problems.quantiles import in_order, pinball
from harness.records import NAN


class StackedLabels:
    """What :class:`harness.problems.labels.Labels` is for one model; each has a label smoothing of its own."""

    def __init__(self, *, binary: bool, smoothings: Sequence[float], weights_C: Tensor | None) -> None:
        self._binary = binary
        self._smoothed = any(smoothings)
        self._smoothing_K11 = torch.tensor(smoothings).view(-1, 1, 1)
        self._sharp_K11 = 1.0 - self._smoothing_K11
        self._weights_C = weights_C

    def scores(self, outputs_KBO: Tensor) -> Tensor:
        """Return ``K x B x C`` logits."""
        return F.pad(outputs_KBO, (1, 0)) if self._binary else outputs_KBO

    def training_loss(self, scores_KBC: Tensor, targets_KB: Tensor, gradient: Tensor) -> Tensor:
        """Return the losses that are minimised, and write their gradient at the outputs."""
        logs_KBC = scores_KBC.log_softmax(dim=2)
        aims_KBC, total = self._aims(logs_KBC, targets_KB)
        losses_K = -torch.mul(aims_KBC, logs_KBC).sum(dim=2).sum(dim=1)
        if self._binary:
            logs_KBC, whole_KBC, aims_KBC = logs_KBC[:, :, 1:], aims_KBC, aims_KBC[:, :, 1:]
        else:
            whole_KBC = aims_KBC
        torch.exp(logs_KBC, out=gradient)
        if self._weights_C is not None:
            gradient.mul_(whole_KBC.sum(dim=2, keepdim=True))
        gradient.sub_(aims_KBC).div_(total)
        return losses_K / (total if isinstance(total, float) else total.view(-1))

    def loss(self, scores_KNC: Tensor, targets_N: Tensor) -> Tensor:
        """Return the plain cross-entropies in nats; all models have the same samples."""
        places = targets_N.view(1, -1, 1).expand(len(scores_KNC), -1, 1)
        return -scores_KNC.log_softmax(dim=2).gather(2, places).squeeze(2).sum(dim=1) / len(targets_N)

    def predictions(self, scores_KNC: Tensor) -> Tensor:
        """Return the logits."""
        return scores_KNC

    def _aims(self, like_KBC: Tensor, targets_KB: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return what the probabilities are drawn to, with the weights of the classes, and the sum of the samples'."""
        models, samples, classes = like_KBC.shape
        places_KB1 = targets_KB.unsqueeze(2)
        one_K11, weights_C = self._sharp_K11, self._weights_C
        aims_KBC = torch.zeros_like(like_KBC)
        if self._smoothed:
            aims_KBC += self._smoothing_K11 / classes
        if weights_C is None:
            aims_KBC.scatter_add_(2, places_KB1, one_K11.expand(models, samples, 1))
            return aims_KBC, float(samples)
        own_KB = weights_C[targets_KB]
        aims_KBC.mul_(weights_C).scatter_add_(2, places_KB1, own_KB.unsqueeze(2) * one_K11)
        return aims_KBC, own_KB.sum(dim=1).view(-1, 1, 1)


class StackedValues:
    """What :class:`harness.problems.values.Values` is for one model."""

    def __init__(self, *, huber: bool, scale: float | Tensor) -> None:
        self._huber = huber
        self._scale = scale

    def scores(self, outputs_KBO: Tensor) -> Tensor:
        """Return standardised values; a single column becomes ``K x B``."""
        return outputs_KBO.squeeze(2) if outputs_KBO.shape[2] == 1 else outputs_KBO

    def training_loss(self, scores: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
        """Return the losses that are minimised, and write their gradient at the outputs."""
        away = scores - targets.reshape(scores.shape) / self._scale
        numbers = away[0].numel()
        found = away.clamp(-1.0, 1.0) / numbers if self._huber else away * (2.0 / numbers)
        gradient.copy_(found.view(gradient.shape))
        return self._means(away)

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the plain losses; all models have the same samples."""
        return self._means(scores - targets.reshape(1, *scores.shape[1:]) / self._scale)

    def predictions(self, scores: Tensor) -> Tensor:
        """Return values in the targets' own units, less their mean as the targets are."""
        return scores * self._scale

    def _means(self, away: Tensor) -> Tensor:
        squares = away.square()
        each = torch.where(away.abs() < 1.0, 0.5 * squares, away.abs() - 0.5) if self._huber else squares
        return each.flatten(1).sum(dim=1) / each[0].numel()


class StackedQuantiles:
    """What :class:`harness.problems.quantiles.Quantiles` is for one model."""

    def __init__(self, levels: Sequence[float], scale: float | Tensor) -> None:
        self._levels_Q = torch.tensor(levels)
        self._scale = scale

    def scores(self, outputs_KBQ: Tensor) -> Tensor:
        """Return them as they are, since the gradient goes where each of them stands."""
        return outputs_KBQ

    def training_loss(self, scores_KBQ: Tensor, targets_KB: Tensor, gradient: Tensor) -> Tensor:
        """Return the losses that are minimised, and write their gradient at the outputs."""
        ordered_KBQ, places_KBQ = scores_KBQ.sort(dim=2)
        errors_KBQ = ordered_KBQ - (targets_KB / self._scale).unsqueeze(2)
        # An error of 0 counts half above and half below, as it does where torch derives a maximum.
        slopes_KBQ = torch.heaviside(errors_KBQ, errors_KBQ.new_tensor(0.5)) - self._levels_Q
        gradient.scatter_(2, places_KBQ, slopes_KBQ / errors_KBQ[0].numel())
        return self._means(errors_KBQ)

    def loss(self, scores_KNQ: Tensor, targets_N: Tensor) -> Tensor:
        """Return the plain losses; all models have the same samples."""
        return self._means(in_order(scores_KNQ) - (targets_N / self._scale).view(1, -1, 1))

    def predictions(self, scores_KNQ: Tensor) -> Tensor:
        """Return quantiles in the target's own units, less its mean as the targets are."""
        return in_order(scores_KNQ) * self._scale

    def _means(self, errors_KNQ: Tensor) -> Tensor:
        return pinball(errors_KNQ, self._levels_Q).flatten(1).sum(dim=1) / errors_KNQ[0].numel()


class ConfusionMatrices:
    """Confusion matrices of several models, counted at once."""

    def __init__(self, models: int, classes: int) -> None:
        self._classes = classes
        self._counts = torch.zeros(models, classes * classes, dtype=torch.int64)

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add ``K x N x C`` logits, and targets of each model or ``N`` of all."""
        models, cells = self._counts.shape
        own_K1 = torch.arange(0, models * cells, cells).unsqueeze(1)
        places_KN = targets * self._classes + predictions.argmax(dim=2) + own_K1
        self._counts += torch.bincount(places_KN.flatten(), minlength=models * cells).view(models, cells)

    def metrics(self) -> list[dict[str, float]]:
        """Return those of each, as :class:`harness.problems.labels.ConfusionMatrix` has them."""
        counts_KCC = self._counts.view(len(self._counts), self._classes, -1).numpy()
        hits, support, predicted = np.diagonal(counts_KCC, 0, 1, 2), counts_KCC.sum(axis=2), counts_KCC.sum(axis=1)
        total_K = support.sum(axis=1)
        recall, f1 = _ratios(hits, support), _ratios(2 * hits, support + predicted)
        known, occurs = support > 0, support + predicted > 0
        right_K, chance_K = hits.sum(axis=1) * total_K, (support * predicted).sum(axis=1)
        unlike_K = [(total_K**2 - np.square(counts).sum(axis=1)).astype(np.float64) for counts in (support, predicted)]
        found = {
            "accuracy": _ratios(hits.sum(axis=1), total_K),
            "f1_macro": _ratios(f1.sum(axis=1), occurs.sum(axis=1)),
            "f1_weighted": _ratios((f1 * support).sum(axis=1), total_K),
            "precision_macro": _ratios(_ratios(hits, predicted).sum(axis=1), occurs.sum(axis=1)),
            "recall_macro": _ratios(recall.sum(axis=1), occurs.sum(axis=1)),
            "balanced_accuracy": _ratios((recall * known).sum(axis=1), known.sum(axis=1)),
            "mcc": _ratios(right_K - chance_K, np.sqrt(unlike_K[0] * unlike_K[1])),
            "kappa": _ratios(right_K - chance_K, total_K**2 - chance_K, without=NAN),
        }
        return [dict(zip(found, of_one, strict=True)) for of_one in np.stack([*found.values()], axis=1).tolist()]


def _ratios(numerators: NDArray[Any], denominators: NDArray[Any], *, without: float = 0.0) -> NDArray[np.float64]:
    """Divide, giving ``without`` where the denominator is 0."""
    out: NDArray[np.float64] = np.full(numerators.shape, without)
    np.divide(numerators, denominators, out=out, where=denominators != 0)
    return out
