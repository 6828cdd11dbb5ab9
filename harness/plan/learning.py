"""Whether a model learns as well in fewer bits: the same steps in both, and their losses beside each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from harness.data import Batch, Batches
from harness.models import Outputs
from harness.plan.lean import lean
from harness.plan.running import forward_of, prepare, tf32_arithmetic

STEPS = 30
BATCHES = STEPS // 3
"""Different batches at most; the steps go round them."""
LEARNING_RATE = 1e-3
WORSE = 0.02
"""Share by which a loss may be above the worse of two trainings in fp32, which differ in the order of the batches."""
FIRST_SCALE = 2.0**10
"""Of the loss in fp16. Torch's own, 2^16, costs a training its first few steps; here they would be a share of all."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A task's loss: ``function(outputs, targets)`` is its mean over a batch."""

    name: str
    """What tells it from other losses of models of the same shape."""
    function: Callable[[Outputs, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The mean loss over the last steps in some precision and in fp32, and whether the first is too far above."""

    loss: float
    reference: float
    hurt: bool


class Lesson:
    """A few steps of AdamW from one set of initial weights over a few real batches, in one precision or another.

    ``make_model`` is called for every way they are taken, and ``layout_of`` says how images lie in a precision. Of a
    batch ``micro_batch`` samples are used (0: all). ``data`` is what tells the batches from others of the same shapes.
    """

    def __init__(
        self,
        make_model: Callable[[], nn.Module],
        batches: Batches,
        loss: Loss,
        *,
        device: torch.device,
        layout_of: Callable[[str], str],
        micro_batch: int = 0,
        data: Hashable = None,
    ) -> None:
        self.loss = loss
        self._data = data
        self._make_model = make_model
        self._source = batches
        self._device = device
        self._layout_of = layout_of
        self._rows = slice(micro_batch or None)

    @property
    def key(self) -> Hashable:
        """What the verdicts depend on beside the model, the shapes of its inputs and the loss."""
        return self._data

    def judge(self, precision: str) -> Verdict:
        """Return whether training in ``precision`` hurts the loss. Seeds torch's generators.

        It does where the mean loss over the last third of the steps, whole rounds of the batches, is more than WORSE
        above that of the worse of two trainings in fp32, of which the other one is made only where that may decide; or
        where losses are not finite, as then it is not shown to be harmless.
        """
        loss = self._take(precision, self._batches, seed=1)
        hurt = _above(loss, self._reference) and _above(loss, self._another)
        return Verdict(loss, self._reference, hurt=hurt)

    @cached_property
    def _batches(self) -> Sequence[Batch]:
        return tuple(itertools.islice(self._source.epoch(1), BATCHES))

    @cached_property
    def _reference(self) -> float:
        """The loss of a training in fp32, as in any other precision."""
        return self._take("fp32", self._batches, seed=1)

    @cached_property
    def _another(self) -> float:
        """The loss of a training in fp32 with other chances."""
        return self._take("fp32", self._batches[::-1], seed=2)

    def _take(self, precision: str, batches: Sequence[Batch], *, seed: int) -> float:
        """Return the mean loss over the last rounds; ``seed`` is of dropout, the weights are the same every time."""
        _seed(self._device, 0)
        layout = self._layout_of(precision)
        model = prepare(self._make_model(), device=self._device, layout=layout)
        forward = forward_of(model, device=self._device, precision=precision, layout=layout)
        optimizer = lean(torch.optim.AdamW)(model.parameters(), lr=LEARNING_RATE)
        scaler = GradScaler(self._device.type, init_scale=FIRST_SCALE, enabled=precision == "fp16")
        _seed(self._device, seed)
        losses = []
        for batch in itertools.islice(itertools.cycle(batches), STEPS):
            with tf32_arithmetic(self._device, precision):
                outputs = forward(tuple(x[self._rows] for x in batch.inputs))
                loss = self.loss.function(outputs, batch.targets[self._rows])
                torch.autograd.backward(scaler.scale(loss))
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
            losses.append(loss.detach())
        # Every batch counts as often as any other, or the order of the batches would show more than the precision.
        last = STEPS // 3 // len(batches) * len(batches)
        return torch.stack(losses[-last:]).mean().item()


def _above(loss: float, reference: float) -> bool:
    return not (math.isfinite(loss) and math.isfinite(reference)) or loss > reference * (1.0 + WORSE)


def _seed(device: torch.device, seed: int) -> None:
    """Seed the generators that a training on ``device`` draws from, and no others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
