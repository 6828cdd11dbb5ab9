"""What an epoch's steps add up to, read back from the device once in a while instead of after every step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from statistics import fmean

import torch
from torch import Tensor

from harness.errors import Diverged
from harness.problems import LOSS
from harness.records import NAN
from harness.train.gradients import REMEDY
from harness.train.learner import Learner
from harness.train.recipe import Recipe, Taken

WINDOW_STEPS = 16
WINDOW_SCORES = 1 << 20
"""Scores that may wait on the device until they are read (4 MiB)."""
MIN_SCALE = 1.0
"""Below this fp16's loss scale would shrink gradients instead of saving them from underflow."""


def window(batch_size: int, outputs: int) -> int:
    """Return after how many steps to read: WINDOW_STEPS, or fewer for large batches."""
    return max(1, min(WINDOW_STEPS, WINDOW_SCORES // (batch_size * outputs)))


class Sums:
    """The sums of one epoch, and the place where a divergence is found.

    ``step`` is the number of the last step before the epoch; reasons number the steps on from there. A step of which
    fp16's loss scaling skipped a part counts neither to the means nor to the gradient norms.
    """

    def __init__(self, parts: Mapping[str, Learner], *, epoch: int, step: int) -> None:
        self._parts = {name: _Norms(learner) for name, learner in parts.items()}
        self._epoch = epoch
        self._step = step
        self._sums: dict[str, tuple[float, float]] = {}
        """Of each mean its sum, and what that is over."""
        self.samples = 0
        self.skipped = 0

    def count(
        self, samples: int, means: Mapping[str, tuple[float, float]], norms: Mapping[str, Sequence[float]]
    ) -> None:
        """Take in a step: its means with what each is over, and by part the norms that it measured.

        Raises :class:`Diverged`.
        """
        self._step += 1
        self.samples += samples
        skipped = norms and any(self._parts[name].overflows(measured) for name, measured in norms.items())
        self.skipped += bool(skipped)
        for name, (value, over) in means.items():
            total, count = self._sums.setdefault(name, (0.0, 0.0))
            if skipped:
                continue
            if not math.isfinite(value):
                raise self._diverged(name, value)
            self._sums[name] = total + value * over, count + over
        if skipped:
            return
        for name, measured in norms.items():
            self._parts[name].add(measured, self._where)

    def count_loss(self, samples: int, loss: float) -> None:
        """Take in a step of which nothing but the loss was measured. Raises :class:`Diverged`."""
        self._step += 1
        self.samples += samples
        if not math.isfinite(loss):
            raise self._diverged(LOSS, loss)
        total, count = self._sums.get(LOSS, (0.0, 0.0))
        self._sums[LOSS] = total + loss * samples, count + samples

    def _diverged(self, name: str, value: float) -> Diverged:
        became = "NaN" if math.isnan(value) else "infinite"
        return Diverged(f"{name} became {became} {self._where}; {REMEDY}")

    @property
    def _where(self) -> str:
        return f"at step {self._step} (epoch {self._epoch})"

    @property
    def means(self) -> dict[str, float]:
        """The means over the epoch."""
        return {name: total / count if count else NAN for name, (total, count) in self._sums.items()}

    @property
    def gradients(self) -> Mapping[str, tuple[float, float]]:
        """By part the means of its gradient norm and depth ratio over the steps that measured them, NaN if none did."""
        return {name: (part.mean, part.depth_ratio) for name, part in self._parts.items()}

    @property
    def gradient_norm(self) -> float:
        """The norm of the parts' means, of those that were measured; NaN if none was."""
        known = [norm for norm, _ in self.gradients.values() if not math.isnan(norm)]
        return math.hypot(*known) if known else NAN


class Tally(Sums):
    """What the steps of a recipe add up to, read back in windows."""

    def __init__(self, recipe: Recipe, *, epoch: int, step: int) -> None:
        super().__init__(recipe.parts, epoch=epoch, step=step)
        self._seen = recipe.seen()
        self._waiting: list[Taken] = []

    def add(self, taken: Taken) -> None:
        """Add a step, without waiting for the device."""
        self._waiting.append(taken)

    def read(self) -> None:
        """Wait for the device and take in the steps added since the last time. Raises :class:`Diverged`."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for taken, (means, norms) in zip(waiting, _values(waiting), strict=True):
            self.count(taken.samples, means, norms)
        self._seen.update(waiting)
        if any(part.scale_exhausted for part in self._parts.values()):
            raise Diverged(
                f"fp16 gradients overflow without any loss scale {self._where}; use bf16 or fp32, or {REMEDY}"
            )

    def metrics(self) -> dict[str, float]:
        """Return the means over the epoch, and the quality of the samples as they were seen."""
        return {**self.means, **self._seen.metrics()}


class _Norms:
    """The gradient norms of one part."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._norms: list[float] = []
        self._depth_ratios: list[float] = []

    @property
    def scale_exhausted(self) -> bool:
        """Whether its loss scale can fall no more."""
        return self._learner.scaler is not None and self._learner.scaler.get_scale() < MIN_SCALE

    def overflows(self, norms: Sequence[float]) -> bool:
        """Tell whether these made fp16's loss scaling skip the step."""
        return self._learner.scaler is not None and not math.isfinite(math.hypot(*norms))

    def add(self, norms: Sequence[float], where: str) -> None:
        """Take in the norm of each of its gradients. Raises :class:`Diverged`."""
        norm = math.hypot(*norms)
        self._learner.watch.see(norm, where)
        self._norms.append(norm)
        self._depth_ratios.append(self._learner.gradients.depth_ratio(norms))

    @property
    def mean(self) -> float:
        return fmean(self._norms) if self._norms else NAN

    @property
    def depth_ratio(self) -> float:
        known = [ratio for ratio in self._depth_ratios if not math.isnan(ratio)]
        return fmean(known) if known else NAN


def _values(
    steps: Sequence[Taken],
) -> Iterator[tuple[dict[str, tuple[float, float]], dict[str, list[float]]]]:
    """Yield each step's means with their counts, and its gradient norms, in one transfer from the device."""
    scalars = [each for taken in steps for mean in taken.means.values() for each in mean if isinstance(each, Tensor)]
    norms = [of_part for taken in steps for of_part in taken.norms.values()]
    values: list[float] = torch.cat([torch.stack(scalars), *norms]).tolist()
    single, rest = iter(values[: len(scalars)]), iter(values[len(scalars) :])
    for taken in steps:
        means = {}
        for name, (_, over) in taken.means.items():
            means[name] = next(single), next(single) if isinstance(over, Tensor) else over
        measured = {}
        for name, each in taken.norms.items():
            measured[name] = list(islice(rest, len(each)))
        yield means, measured
