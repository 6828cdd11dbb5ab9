"""Timing two or more ways to run the same step against each other, within about a second."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from harness.data import Batch
from harness.hardware import synchronize
from harness.models import flops_of
from harness.plan.learning import Loss
from harness.plan.running import forward_of, prepare, tf32_arithmetic
from harness.records import NAN

SMALL_FLOPS = 2e7
"""Of a batch's forward pass on a CPU: a millisecond or so, and waking threads or rounding numbers takes as much."""
BLOCK_S = 0.01
"""Shortest block of calls that is timed as one, so that the clock and a stray interrupt weigh little."""
MIN_ROUNDS = 3
WARM_UP_CALLS = 3
WORTH_IT = 1.05
"""Measured ratio from which a choice other than the first repays what it costs in precision or trouble."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, the measured seconds of the default over its own (NaN: not measured), and why."""

    value: str
    ratio: float = NAN
    reason: str = ""


@dataclass(frozen=True)
class Probe:
    """A model, a batch and a loss to measure with. ``make_model`` is called once for every way that is measured."""

    make_model: Callable[[], nn.Module]
    batch: Batch
    """On the device, as training will see it."""
    device: torch.device
    loss: Loss
    configuration: str = ""
    """Every parameter of the model in words (:func:`harness.models.configuration`)."""

    @cached_property
    def model(self) -> nn.Module:
        """A model to look at, which is not what is measured."""
        return self.make_model()

    @cached_property
    def flops(self) -> float:
        """What a forward pass of the batch computes; infinite where torch's counter does not know the layers."""
        if any(isinstance(layer, nn.RNNBase) for layer in self.model.modules()):
            return math.inf
        forward = forward_of(self.model, device=self.device, precision="fp32", layout="contiguous")
        return flops_of(lambda: forward(self.batch.inputs))

    @cached_property
    def key(self) -> Hashable:
        """What the timing depends on."""
        return self.loss.name, shape_key(self.model, self.configuration, self.batch.inputs, self.device)

    def step(self, *, precision: str, layout: str) -> Callable[[], None]:
        """Return a forward and a backward pass of a fresh model, ready to be timed."""
        model = prepare(self.make_model(), device=self.device, layout=layout)
        forward = forward_of(model, device=self.device, precision=precision, layout=layout)
        parameters, batch = list(model.parameters()), self.batch

        def step() -> None:
            with tf32_arithmetic(self.device, precision):
                torch.autograd.backward(self.loss.function(forward(batch.inputs), batch.targets))
            for parameter in parameters:
                parameter.grad = None

        return step

    def compare(
        self, arms: Mapping[str, Callable[[], None]], *, budget_s: float, order: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return the median seconds per call of each arm, which are to say which of ``order`` is :func:`fastest`."""
        return interleaved(arms, lambda: synchronize(self.device), budget_s=budget_s, order=order)


def shape_key(model: nn.Module, configuration: str, inputs: Sequence[Tensor], device: torch.device) -> Hashable:
    """Return what the time of a pass depends on: the device, the whole model, and the shapes of its inputs.

    Candidates that differ in nothing of this share what was measured, whatever their learning rates, losses' options
    and data, so that a search measures each shape once. Of the model every parameter counts, since some leave no trace
    in its layers, as the number of heads in attention; its layers count beside them, as a module of the user's own may
    have been changed, and since those show what the task made of it.
    """
    layers = tuple(
        (type(layer).__name__, layer.extra_repr(), *(p.shape for p in layer.parameters(recurse=False)))
        for layer in model.modules()
    )
    return str(device), configuration, layers, tuple((x.shape, x.dtype) for x in inputs)


def interleaved(
    arms: Mapping[str, Callable[[], None]],
    settle: Callable[[], None],
    *,
    budget_s: float,
    order: Sequence[str] = (),
) -> dict[str, float]:
    """Time the arms in turn, block by block, so that a slow spell of the machine falls on all of them.

    ``settle`` waits for the device. Each arm is warmed up, then every round times one block of each; rounds go on
    until ``budget_s`` seconds are spent, and for MIN_ROUNDS at least. Where the :func:`fastest` of ``order`` is wanted
    they end as soon as every round alone says the same one. Returns median seconds per call.
    """
    calls = {name: _block(arm, settle) for name, arm in arms.items()}
    rounds: list[dict[str, float]] = []
    end = time.perf_counter() + budget_s
    while len(rounds) < MIN_ROUNDS or (time.perf_counter() < end and not _agree(rounds, order)):
        rounds.append({name: _timed(arm, calls[name], settle) for name, arm in arms.items()})
    return {name: statistics.median(each[name] for each in rounds) for name in arms}


def _agree(rounds: Sequence[Mapping[str, float]], order: Sequence[str]) -> bool:
    return bool(order) and len({fastest(seconds, order) for seconds in rounds}) == 1


def fastest(seconds: Mapping[str, float], order: Sequence[str]) -> str:
    """Return the first of ``order``, or a later one that beats what was chosen so far by WORTH_IT."""
    chosen = order[0]
    for name in order[1:]:
        if seconds[chosen] / seconds[name] > WORTH_IT:
            chosen = name
    return chosen


def _block(arm: Callable[[], None], settle: Callable[[], None]) -> int:
    """Warm the arm up and return how many calls make a block."""
    first_s = _timed(arm, 1, settle)
    return max(1, math.ceil(BLOCK_S / _timed(arm, 1 if first_s > BLOCK_S else WARM_UP_CALLS, settle)))


def _timed(arm: Callable[[], None], calls: int, settle: Callable[[], None]) -> float:
    settle()
    start = time.perf_counter()
    for _ in range(calls):
        arm()
    settle()
    return (time.perf_counter() - start) / calls
