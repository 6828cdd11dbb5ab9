"""The clock of a few steps of training."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from statistics import median

import torch

from harness import measure
from harness.records import NAN

WARM_UP = 2
"""Steps that are not timed: the first ones allocate and tune."""
LEAST_STEPS = 3
ENOUGH_S = 0.1
"""Seconds of steps, once there are LEAST_STEPS of them."""


class _EnoughError(Exception):
    """The clock has seen enough steps."""


class StepClock:
    """Is called before every step of a training, and ends the training when it has timed enough of them."""

    def __init__(
        self, device: torch.device, steps_per_epoch: int, *, seconds: float, check: Callable[[], None]
    ) -> None:
        self._device = device
        self._check = check
        self._steps_per_epoch = steps_per_epoch
        self._seconds = seconds
        self._stamps: list[float] = []

    def __call__(self) -> None:
        """Note the time; raises when there is enough, and whatever ``check`` raises."""
        self._check()
        measure.synchronize(self._device)
        self._stamps.append(time.perf_counter())
        timed = self._stamps[WARM_UP:]
        if len(timed) > LEAST_STEPS and timed[-1] - timed[0] >= self._seconds:
            raise _EnoughError

    def watch(self, training: Callable[[], object]) -> None:
        """Run a training until there is enough, or it ends by itself."""
        with suppress(_EnoughError):
            training()

    @property
    def step_s(self) -> float:
        """The median seconds of a step; NaN when there was none."""
        return self._median(last_of_epoch=False)

    @property
    def turn_s(self) -> float:
        """The median seconds from the last step of an epoch to the next epoch; NaN when no epoch came to its end."""
        return max(0.0, self._median(last_of_epoch=True) - self.step_s)

    def _median(self, *, last_of_epoch: bool) -> float:
        steps = list(enumerate((later - earlier for earlier, later in pairwise(self._stamps)), start=1))[WARM_UP:]
        if self._steps_per_epoch > 1:
            steps = [step for step in steps if (step[0] % self._steps_per_epoch == 0) == last_of_epoch]
        return median([seconds for _, seconds in steps] or [NAN])
