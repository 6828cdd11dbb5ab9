"""What an epoch's steps add up to, read back from the device once in a while instead of after every step."""

from __future__ import annotations

import math
from itertools import islice
from statistics import fmean

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from harness.data import Batch
from harness.errors import Diverged
from harness.problems import LOSS, Quality
from harness.records import NAN
from harness.train.gradients import REMEDY, ExplosionWatch, Gradients
from harness.train.loss import Criterion
from harness.train.step import Taken

WINDOW_STEPS = 16
WINDOW_SCORES = 1 << 20
"""Scores that may wait on the device until they are read (4 MiB)."""
MIN_SCALE = 1.0
"""Below this fp16's loss scale would shrink gradients instead of saving them from underflow."""


def window(batch_size: int, outputs: int) -> int:
    """Return after how many steps to read: WINDOW_STEPS, or fewer for large batches."""
    return max(1, min(WINDOW_STEPS, WINDOW_SCORES // (batch_size * outputs)))


class Tally:
    """The sums of one epoch, and the place where a divergence is found.

    ``step`` is the number of the last step before the epoch; reasons number the steps on from there. A step that fp16's
    loss scaling skipped counts neither to the loss nor to the gradient norm.
    """

    def __init__(
        self,
        criterion: Criterion,
        quality: Quality,
        gradients: Gradients,
        watch: ExplosionWatch,
        *,
        scaler: GradScaler | None,
        epoch: int,
        step: int,
    ) -> None:
        self._criterion = criterion
        self._quality = quality
        self._gradients = gradients
        self._watch = watch
        self._scaler = scaler
        self._epoch = epoch
        self._step = step
        self._waiting: list[tuple[Taken, Tensor]] = []
        self._loss_sum = 0.0
        self._counted = 0
        self._norms: list[float] = []
        self._depth_ratios: list[float] = []
        self.samples = 0
        self.skipped = 0

    def add(self, batch: Batch, taken: Taken) -> None:
        """Add a step, without waiting for the device."""
        self._waiting.append((taken, self._criterion.targets_seen(batch)))

    def read(self) -> None:
        """Wait for the device and take in the steps added since the last time. Raises :class:`Diverged`."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for (loss, norms), (_, targets) in zip(_values([taken for taken, _ in waiting]), waiting, strict=True):
            self._step += 1
            self._judge(loss, norms, len(targets))
        scores = torch.cat([taken.scores for taken, _ in waiting])
        self._quality.update(self._criterion.predictions(scores), torch.cat([targets for _, targets in waiting]))
        if self._scaler is not None and self._scaler.get_scale() < MIN_SCALE:
            raise Diverged(
                f"fp16 gradients overflow without any loss scale {self._where}; use bf16 or fp32, or {REMEDY}"
            )

    def _judge(self, loss: float, norms: list[float], samples: int) -> None:
        self.samples += samples
        norm = math.hypot(*norms) if norms else 0.0
        if self._scaler is not None and not math.isfinite(norm):
            self.skipped += 1
            return
        if not math.isfinite(loss):
            raise Diverged(f"loss became {'NaN' if math.isnan(loss) else 'infinite'} {self._where}; {REMEDY}")
        self._loss_sum += loss * samples
        self._counted += samples
        if norms:
            self._watch.see(norm, self._where)
            self._norms.append(norm)
            self._depth_ratios.append(self._gradients.depth_ratio(norms))

    @property
    def _where(self) -> str:
        return f"at step {self._step} (epoch {self._epoch})"

    def metrics(self) -> dict[str, float]:
        """Return the mean loss and the quality of the samples as they were seen."""
        return {LOSS: self._loss_sum / self._counted if self._counted else NAN, **self._quality.metrics()}

    @property
    def gradient_norm(self) -> float:
        """Mean over the steps that measured it, NaN if none did."""
        return fmean(self._norms) if self._norms else NAN

    @property
    def depth_ratio(self) -> float:
        """Mean over the steps that measured it, NaN if none did."""
        known = [ratio for ratio in self._depth_ratios if not math.isnan(ratio)]
        return fmean(known) if known else NAN


def _values(window: list[Taken]) -> list[tuple[float, list[float]]]:
    """Return each step's loss and gradient norms (empty where not measured), in one transfer from the device."""
    counts = [0 if taken.norms is None else len(taken.norms) for taken in window]
    measured = [taken.norms for taken in window if taken.norms is not None]
    values: list[float] = torch.cat([torch.stack([taken.loss for taken in window]), *measured]).tolist()
    norms = iter(values[len(window) :])
    return [(loss, list(islice(norms, count))) for loss, count in zip(values, counts, strict=False)]
