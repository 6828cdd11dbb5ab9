"""Labels while they are learned: the loss, and the counts that the metrics follow from.

Shape legend: B batch, V labels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.problems.outputs import Outputs, prediction
from harness.problems.problem import Seen
from harness.records import NAN

SAID = 0.5
"""The probability from which on a label is said."""


class Counts:
    """What was said and what was true of each label; metrics follow as scikit-learn defines them.

    A ratio without a denominator is 0 (``zero_division=0``). The sums stay on the device until they are asked for.
    """

    def __init__(self, labels: int, device: torch.device) -> None:
        # Rows: said and true, said, true.
        self._counts_3V = torch.zeros(3, labels, dtype=torch.int64, device=device)
        self._exact = torch.zeros((), dtype=torch.int64, device=device)
        self._samples = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: ``B x V`` probabilities with ``B x V`` targets."""
        said_BV, true_BV = outputs.detach() >= SAID, targets.detach() > 0.5
        self._counts_3V += torch.stack([(said_BV & true_BV).sum(0), said_BV.sum(0), true_BV.sum(0)])
        self._exact += (said_BV == true_BV).all(dim=1).sum()
        self._samples += len(targets)

    def metrics(self) -> dict[str, float]:
        """Return the metrics, all in [0, 1]."""
        hits_V, said_V, true_V = self._counts_3V.cpu().double().numpy()
        samples = self._samples or NAN
        return {
            "f1_macro": float(_ratio(2 * hits_V, said_V + true_V).mean()) if self._samples else NAN,
            "f1_micro": float(_ratio(2 * hits_V.sum(), said_V.sum() + true_V.sum())) if self._samples else NAN,
            "precision_macro": float(_ratio(hits_V, said_V).mean()) if self._samples else NAN,
            "recall_macro": float(_ratio(hits_V, true_V).mean()) if self._samples else NAN,
            "exact_match": int(self._exact) / samples,
            "hamming_loss": float((said_V + true_V - 2 * hits_V).mean()) / samples,
        }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


class Flags:
    """Binary cross-entropy, averaged over the labels; smoothing draws targets towards one half."""

    def __init__(self, *, smoothing: float) -> None:
        self._smoothing = smoothing

    def scores(self, outputs: Outputs) -> Tensor:
        """Return ``B x V`` logits."""
        return prediction(outputs)

    def training_loss(self, scores: Tensor, batch: Seen) -> Tensor:
        """Return the smoothed loss, of mixed samples against the mixture of both targets, in which it is linear."""
        targets = batch.targets
        if batch.mix is not None and batch.mixed_targets is not None:
            share_B1 = batch.mix[:, None]
            targets = share_B1 * targets + (1 - share_B1) * batch.mixed_targets
        return self.loss(scores, targets * (1.0 - self._smoothing) + 0.5 * self._smoothing)

    def weight(self, batch: Seen) -> int:
        """Return the number of samples."""
        return len(batch.targets)

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the plain loss in nats."""
        return F.binary_cross_entropy_with_logits(scores, targets)

    def predictions(self, scores: Tensor) -> Tensor:
        """Return the probabilities."""
        return scores.sigmoid()

    def answers(self, scores: Tensor) -> Tensor:
        """Return the probabilities."""
        return self.predictions(scores)

    def targets_seen(self, batch: Seen) -> Tensor:
        """Return the labels, of a mixed sample those of the one with the larger share."""
        if batch.mix is None or batch.mixed_targets is None:
            return batch.targets
        return batch.targets.where(batch.mix[:, None] >= 0.5, batch.mixed_targets)
