"""One step of training: forward, loss, backward, clip, optimiser. Except in fp16 it never waits for the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from harness.data import Batch
from harness.plan import Forward
from harness.spec.training import Training
from harness.train.gradients import Gradients
from harness.train.loss import Criterion
from harness.train.weights import split_weights


class Taken(NamedTuple):
    """What a step leaves on the device, cut off from the graph."""

    loss: Tensor
    scores: Tensor
    norms: Tensor | None
    """Norm of each gradient before clipping; None when this step did not measure them."""


class Step:
    """Takes steps for one model. With a ``scaler`` gradients are scaled for fp16, and steps that overflow skipped.

    Of a batch larger than ``micro_batch`` (0: none is) only so many samples go through the model at once; the gradients
    of the parts add up to those of the batch. What a layer makes of other samples or of chance it makes of each part:
    batch norm sees the statistics of the parts, and dropout draws for one part after the other.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Forward,
        criterion: Criterion,
        optimizer: Optimizer,
        training: Training,
        scaler: GradScaler | None,
        micro_batch: int = 0,
    ) -> None:
        self._forward = forward
        self._criterion = criterion
        self._optimizer = optimizer
        self._scaler = scaler
        self._micro_batch = micro_batch
        self._clip_norm = training.clip_norm
        self._l1 = training.l1
        self._weights = split_weights(model)[0]
        self._needs_norms = training.clip_norm > 0.0 or scaler is not None
        self.gradients = Gradients(model)

    def __call__(self, batch: Batch, *, measure: bool) -> Taken:
        """Take a step; ``measure`` the gradients if they need not be measured anyway (to clip, or to scale)."""
        if 0 < self._micro_batch < len(batch.targets):
            loss, scores = self._in_parts(batch)
        else:
            loss, scores = self._at_once(batch)
        if self._scaler is not None:
            self._scaler.unscale_(self._optimizer)
        norms = self.gradients.norms() if measure or self._needs_norms else None
        if norms is not None and self._clip_norm > 0.0:
            self.gradients.clip(self._clip_norm, norms)
        self._descend()
        self.gradients.forget()
        return Taken(loss.detach(), scores.detach(), norms)

    def _at_once(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Leave the gradients of the batch in the parameters; return its loss and scores."""
        scores = self._criterion.scores(self._forward(batch.inputs))
        loss = self._criterion.training_loss(scores, batch)
        if self._l1 > 0.0:
            loss = loss + self._penalty()
        self._backward(loss)
        return loss, scores

    def _in_parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Do the same part by part, each with its share in the mean that the batch's loss is."""
        whole = self._criterion.weight(batch)
        losses, scores = [], []
        for part in parts(batch, self._micro_batch):
            part_scores = self._criterion.scores(self._forward(part.inputs))
            loss = self._criterion.training_loss(part_scores, part) * (self._criterion.weight(part) / whole)
            self._backward(loss)
            losses.append(loss.detach())
            scores.append(part_scores.detach())
        if self._l1 > 0.0:
            penalty = self._penalty()
            self._backward(penalty)
            losses.append(penalty.detach())
        return torch.stack(losses).sum(), torch.cat(scores)

    def _penalty(self) -> Tensor:
        return self._l1 * torch.stack([weight.abs().sum() for weight in self._weights]).sum()

    def _backward(self, loss: Tensor) -> None:
        torch.autograd.backward(loss if self._scaler is None else self._scaler.scale(loss))

    def _descend(self) -> None:
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
            self._scaler.update()


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
