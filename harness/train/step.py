"""One step of training: forward, loss, backward, clip, optimiser. Except in fp16 it never waits for the device."""

from __future__ import annotations

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
    """Takes steps for one model. With a ``scaler`` gradients are scaled for fp16, and steps that overflow skipped."""

    def __init__(
        self,
        model: nn.Module,
        forward: Forward,
        criterion: Criterion,
        optimizer: Optimizer,
        training: Training,
        scaler: GradScaler | None,
    ) -> None:
        self._forward = forward
        self._criterion = criterion
        self._optimizer = optimizer
        self._scaler = scaler
        self._clip_norm = training.clip_norm
        self._l1 = training.l1
        self._weights = split_weights(model)[0]
        self._needs_norms = training.clip_norm > 0.0 or scaler is not None
        self.gradients = Gradients(model)

    def __call__(self, batch: Batch, *, measure: bool) -> Taken:
        """Take a step; ``measure`` the gradients if they need not be measured anyway (to clip, or to scale)."""
        scores = self._criterion.scores(self._forward(batch.inputs))
        loss = self._criterion.training_loss(scores, batch)
        if self._l1 > 0.0:
            loss = loss + self._l1 * torch.stack([weight.abs().sum() for weight in self._weights]).sum()
        self._backward(loss)
        norms = self.gradients.norms() if measure or self._needs_norms else None
        if norms is not None and self._clip_norm > 0.0:
            self.gradients.clip(self._clip_norm, norms)
        self._descend()
        self.gradients.forget()
        return Taken(loss.detach(), scores.detach(), norms)

    def _backward(self, loss: Tensor) -> None:
        if self._scaler is None:
            torch.autograd.backward(loss)
        else:
            torch.autograd.backward(self._scaler.scale(loss))
            self._scaler.unscale_(self._optimizer)

    def _descend(self) -> None:
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
            self._scaler.update()
