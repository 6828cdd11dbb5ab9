"""Quality of predictions, streamed: sums stay on the device and are read once, when the metrics are asked for.

Shape legend: B batch, C classes, V values to predict.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.records import LABEL_METRICS, NAN, VALUE_METRICS, TaskKind, TaskShape


class Quality(Protocol):
    """What measures predictions against targets, batch by batch."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch; no waiting for the device."""

    def metrics(self) -> dict[str, float]:
        """Return the metrics of everything added, NaN when that is nothing; waits for the device once."""


def quality(shape: TaskShape, device: torch.device) -> Quality:
    """Return an empty measure of the kind that fits the task."""
    if shape.kind is TaskKind.CLASSIFICATION:
        return ConfusionMatrix(max(shape.outputs, 2), device)  # one output is the logit of the second of two classes
    return Residuals(device)


class _Scores(NamedTuple):
    """Counts and ratios of each class."""

    hits: list[int]
    support: list[int]
    predicted: list[int]
    precision: list[float]
    recall: list[float]
    f1: list[float]


class ConfusionMatrix:
    """Counts of (target, prediction) pairs, from which LABEL_METRICS follow as scikit-learn defines them.

    A ratio without a denominator is 0 (``zero_division=0``); averages are over the classes that occur among the
    targets or the predictions (scikit-learn's default ``labels``).
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.classes = classes
        self._counts = torch.zeros(classes * classes, dtype=torch.int64, device=device)
        self._one = torch.ones(1, dtype=torch.int64, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: ``B x C`` logits, ``B x 1`` logits of class 1 of two, or ``B`` predicted classes."""
        cells_B = targets.detach() * self.classes + _predictions(outputs.detach())
        # Not bincount: on CUDA that waits for the device to learn the largest value.
        self._counts.index_add_(0, cells_B, self._one.expand_as(cells_B))

    def metrics(self) -> dict[str, float]:
        """Return LABEL_METRICS, each in [0, 1]."""
        scores = self._scores()
        total = sum(scores.support)
        if total == 0:
            return dict.fromkeys(LABEL_METRICS, NAN)
        occurs = [c for c in range(self.classes) if scores.support[c] or scores.predicted[c]]
        return {
            "accuracy": sum(scores.hits) / total,
            "f1_macro": sum(scores.f1[c] for c in occurs) / len(occurs),
            "f1_weighted": sum(f1 * count for f1, count in zip(scores.f1, scores.support, strict=True)) / total,
            "precision_macro": sum(scores.precision[c] for c in occurs) / len(occurs),
            "recall_macro": sum(scores.recall[c] for c in occurs) / len(occurs),
        }

    def per_class(self) -> dict[str, list[float]]:
        """Return ``precision``, ``recall``, ``f1`` and ``support`` (targets), each a list over all classes."""
        scores = self._scores()
        support = [float(count) for count in scores.support]
        return {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1, "support": support}

    def table(self) -> list[list[int]]:
        """Return the counts: a row per target, a column per prediction."""
        rows: list[list[int]] = self._table().tolist()
        return rows

    def _scores(self) -> _Scores:
        """Reduce the table three times on the host; for a few classes plain Python beats NumPy from there on."""
        counts_CC = self._table()
        hits, support, predicted = (
            np.diagonal(counts_CC).tolist(),
            counts_CC.sum(axis=1).tolist(),
            counts_CC.sum(axis=0).tolist(),
        )
        return _Scores(
            hits,
            support,
            predicted,
            precision=[_ratio(h, p) for h, p in zip(hits, predicted, strict=True)],
            recall=[_ratio(h, s) for h, s in zip(hits, support, strict=True)],
            f1=[_ratio(2 * h, s + p) for h, s, p in zip(hits, support, predicted, strict=True)],
        )

    def _table(self) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = self._counts.cpu().numpy()
        return counts.reshape(self.classes, self.classes)


class Residuals:
    """Errors and the spread of the targets, from which VALUE_METRICS follow as scikit-learn defines them.

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
        """Return VALUE_METRICS; ``r2`` of fewer than two samples is NaN, of constant targets 1 if exact, else 0."""
        if self._samples == 0:
            return dict.fromkeys(VALUE_METRICS, NAN)
        _, deviations_V, squares_V, absolutes_V = self._sums_4V.cpu().double().numpy()
        unexplained_V = np.divide(squares_V, deviations_V, out=np.sign(squares_V), where=deviations_V > 0)
        values = {
            "rmse": np.sqrt(squares_V / self._samples).mean(),
            "mae": absolutes_V.mean() / self._samples,
            "r2": (1 - unexplained_V).mean() if self._samples > 1 else NAN,
        }
        return {name: float(values[name]) for name in VALUE_METRICS}


def _predictions(outputs: Tensor) -> Tensor:
    """Return the predicted class of each sample."""
    if outputs.ndim == 1:
        return outputs
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).long()
    return outputs.argmax(dim=1)


def _ratio(numerator: int, denominator: int) -> float:
    """Divide, giving 0 where the denominator is 0."""
    return numerator / denominator if denominator else 0.0
