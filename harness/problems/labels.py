"""Classes while they are learned: the loss, and the confusion matrix that most metrics follow from.

Shape legend: B batch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from harness.problems.outputs import Outputs, prediction
from harness.problems.problem import Seen
from harness.records import NAN


class _Scores(NamedTuple):
    """Counts and ratios of each class."""

    hits: list[int]
    support: list[int]
    predicted: list[int]
    precision: list[float]
    recall: list[float]
    f1: list[float]


class ConfusionMatrix:
    """Counts of (target, prediction) pairs, from which metrics follow as scikit-learn defines them.

    A ratio without a denominator is 0 (``zero_division=0``); averages are over the classes that occur among the
    targets or the predictions (scikit-learn's default ``labels``). The sums stay on the device, and are read once,
    when the metrics are asked for.
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
        """Return the metrics; ``mcc`` and ``kappa`` are in [-1, 1], the others in [0, 1]."""
        scores = self._scores()
        hits, samples = sum(scores.hits), sum(scores.support)
        total = max(1, samples)
        known = [c for c in range(self.classes) if scores.support[c]]
        occurs = [c for c in range(self.classes) if scores.support[c] or scores.predicted[c]]
        by_chance = sum(s * p for s, p in zip(scores.support, scores.predicted, strict=True))
        unlike = [total**2 - sum(count**2 for count in counts) for counts in (scores.support, scores.predicted)]
        found = {
            "accuracy": hits / total,
            "f1_macro": _mean(scores.f1, occurs),
            "f1_weighted": sum(f1 * count for f1, count in zip(scores.f1, scores.support, strict=True)) / total,
            "precision_macro": _mean(scores.precision, occurs),
            "recall_macro": _mean(scores.recall, occurs),
            "balanced_accuracy": _mean(scores.recall, known),
            "mcc": (hits * total - by_chance) / math.sqrt(unlike[0] * unlike[1]) if all(unlike) else 0.0,
            "kappa": (hits * total - by_chance) / (total**2 - by_chance) if by_chance < total**2 else NAN,
        }
        return found if samples else dict.fromkeys(found, NAN)

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


def _predictions(outputs: Tensor) -> Tensor:
    """Return the predicted class of each sample."""
    if outputs.ndim == 1:
        return outputs
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).long()
    return outputs.argmax(dim=1)


def _ratio(numerator: float, denominator: int) -> float:
    """Divide, giving 0 where the denominator is 0."""
    return numerator / denominator if denominator else 0.0


def _mean(scores: Sequence[float], classes: Sequence[int]) -> float:
    return _ratio(sum(scores[c] for c in classes), len(classes))


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """Return samples / (classes * count) for each class, as scikit-learn's ``balanced``; 0 for a class without any.

    Only the classes that occur are counted.
    """
    counts_C = torch.tensor(counts, dtype=torch.float64)
    weights_C = counts_C.sum() / ((counts_C > 0).sum() * counts_C)
    return weights_C.where(counts_C > 0, 0.0).float()


def of_classes(outputs: Tensor) -> Tensor:
    """Return ``B x C`` outputs as they are."""
    return outputs


def of_second(outputs: Tensor) -> Tensor:
    """Return the logits 0 and z of two classes from ``B x 1`` outputs z."""
    return F.pad(outputs, (1, 0))


class Labels:
    """Cross-entropy over classes. Binary cross-entropy of one logit z is the same of the two logits 0 and z.

    Label smoothing is Szegedy et al.'s (2016, arXiv:1512.00567): that share of a target is spread over all classes.
    With class weights the mean is weighted, divided by the sum of the weights in the batch, as torch does it.
    """

    def __init__(self, *, logits: Callable[[Tensor], Tensor], smoothing: float, weights_C: Tensor | None) -> None:
        """``logits`` turns what a model returns into ``B x C`` logits."""
        self._logits = logits
        self._smoothing = smoothing
        self._weights_C = weights_C

    def scores(self, outputs: Outputs) -> Tensor:
        """Return ``B x C`` logits."""
        return self._logits(prediction(outputs))

    def training_loss(self, scores: Tensor, batch: Seen) -> Tensor:
        """Return the weighted, smoothed cross-entropy."""
        if batch.mix is None or batch.mixed_targets is None:
            return F.cross_entropy(scores, batch.targets, self._weights_C, label_smoothing=self._smoothing)
        share_B = batch.mix
        loss_B = share_B * self._each(scores, batch.targets) + (1 - share_B) * self._each(scores, batch.mixed_targets)
        if self._weights_C is None:
            return loss_B.mean()
        return loss_B.sum() / self.weight(batch)

    def weight(self, batch: Seen) -> Tensor | int:
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

    def answers(self, scores: Tensor) -> Tensor:
        """Return the probabilities."""
        return scores.softmax(dim=1)

    def targets_seen(self, batch: Seen) -> Tensor:
        """Return the class, of a mixed sample the one with the larger share."""
        if batch.mix is None or batch.mixed_targets is None:
            return batch.targets
        return batch.targets.where(batch.mix >= 0.5, batch.mixed_targets)
