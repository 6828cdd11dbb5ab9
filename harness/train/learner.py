"""Parameters that learn together: what steps them, along which schedules, and what watches over their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from harness.records import NAN, Named
from harness.spec.candidate import CONSTANT
from harness.train.average import Average
from harness.train.gradients import ExplosionWatch, Gradients
from harness.train.schedule import Factor, build_schedule

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class Learner:
    """One part of a recipe: a module whose trainable parameters take steps together.

    Args:
        module: what learns.
        optimizers: each steps some of its parameters; together all.
        schedules: by their keys in a space (``schedule``, ``dropout_schedule``, ``weight_decay_schedule``) what the
            learning rate, the share of every dropout layer and the weight decay follow; constant where not named.
        scaler: scales its losses for fp16, and skips steps that overflow.
        clip_norm: largest global norm of its gradients; 0 does not clip.
        average: of its weights; each step adds to it.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        schedules: Mapping[str, Named] = {},
        scaler: GradScaler | None = None,
        clip_norm: float = 0.0,
        average: Average | None = None,
    ) -> None:
        self.module = module
        self.optimizers = tuple(optimizers)
        self.scaler = scaler
        self.average = average
        self.gradients = Gradients(module)
        self.watch = ExplosionWatch(clipped=clip_norm > 0.0)
        self._clip_norm = clip_norm
        self._needs_norms = clip_norm > 0.0 or scaler is not None
        self._schedules = schedules
        self._followed: list[_Followed] = []
        self.step = 0
        """The step that is being taken, counted from 0."""

    @property
    def learning_rate(self) -> float:
        """Of the last step, of parameters without a factor of their own; NaN where nothing steps them."""
        rate: float = self.optimizers[0].param_groups[0]["lr"] if self.optimizers else NAN
        return rate

    @property
    def scheduled(self) -> bool:
        """Whether anything follows a schedule along the steps that were laid out."""
        return bool(self._followed)

    @property
    def clips(self) -> bool:
        """Whether gradients are clipped."""
        return self._clip_norm > 0.0

    def along(self, steps_per_epoch: int, epochs: int) -> None:
        """Lay the schedules along a training of so many epochs."""
        self._followed = [
            _Followed(build_schedule(named, steps_per_epoch=steps_per_epoch, epochs=epochs), self._put(key))
            for key, named in self._schedules.items()
            if named != CONSTANT
        ]
        if self.average is not None:
            self.average.along(steps_per_epoch * epochs)

    def follow(self, step: int) -> None:
        """Put all that is scheduled to where it is in a step, counted from 0."""
        self.step = step
        for followed in self._followed:
            followed.go_to(step)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those there are."""
        torch.autograd.backward(loss if self.scaler is None else self.scaler.scale(loss))

    def descend(self, *, measure: bool) -> Tensor | None:
        """Take a step down the gradients and let go of them.

        Returns the norm of each before clipping, on the device, if asked to ``measure`` or needed anyway.
        """
        if self.scaler is not None:
            for optimizer in self.optimizers:
                self.scaler.unscale_(optimizer)
        norms = self.clip(measure=measure)
        for optimizer in self.optimizers:
            if self.scaler is None:
                optimizer.step()
            else:
                self.scaler.step(optimizer)
        if self.scaler is not None:
            self.scaler.update()
        self.gradients.forget()
        if self.average is not None:
            self.average.add(self.step)
        return norms

    def clip(self, *, measure: bool) -> Tensor | None:
        """Clip the gradients where that was asked for; return their norms before it as :meth:`descend` does."""
        norms = self.gradients.norms() if measure or self._needs_norms else None
        if norms is not None and self._clip_norm > 0.0:
            self.gradients.clip(self._clip_norm, norms)
        return norms

    def _put(self, key: str) -> Callable[[float], None]:
        """Return what multiplies with a factor what a schedule is for."""
        if key != "dropout_schedule":
            return _in_groups(self.optimizers, {"schedule": "lr", "weight_decay_schedule": "weight_decay"}[key])
        return _in_dropouts([self.module] if self.average is None else [self.module, self.average.module])


class _Followed:
    """Something that follows a schedule; it is touched only where its factor changes."""

    def __init__(self, factor: Factor, put: Callable[[float], None]) -> None:
        self._factor = factor
        self._put = put
        self._last = -1.0

    def go_to(self, step: int) -> None:
        factor = self._factor(step)
        if factor != self._last:
            self._last = factor
            self._put(factor)


def _in_groups(optimizers: Sequence[Optimizer], name: str) -> Callable[[float], None]:
    """Return what multiplies an option of every group of parameters with a factor."""
    full = [[group[name] for group in optimizer.param_groups] for optimizer in optimizers]

    def put(factor: float) -> None:
        for optimizer, values in zip(optimizers, full, strict=True):
            for group, value in zip(optimizer.param_groups, values, strict=True):
                group[name] = value * factor

    return put


def _in_dropouts(modules: Sequence[nn.Module]) -> Callable[[float], None]:
    """Return what multiplies the share of every dropout layer with a factor."""
    layers = [(layer, layer.p) for module in modules for layer in module.modules() if isinstance(layer, DROPOUTS)]

    def put(factor: float) -> None:
        for layer, share in layers:
            layer.p = share * factor

    return put
