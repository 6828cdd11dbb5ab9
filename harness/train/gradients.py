"""How large the gradients are, and whether they or the weights explode."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from harness.errors import Diverged
from harness.records import NAN
from harness.train.weights import split_weights

REMEDY = "lower the learning rate, or set clip_norm"
EXPLODED_RATIO = 1e6
"""A norm has exploded that is above this times the median of the norms before it, ..."""
EXPLODED_FLOOR = 1e3
"""... and above this besides: after convergence a median near zero would make any norm look large."""
MIN_HISTORY = 5
"""Norms that must have been measured before one is compared with their median."""
HISTORY = 101
"""Latest norms that the median is taken over."""


class Gradients:
    """The gradients of a model's parameters: their norms, clipping, and letting go of them."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        weights = {id(weight) for weight in split_weights(model)[0]}
        self._weights = [(i, p.numel()) for i, p in enumerate(self._parameters) if id(p) in weights]

    def norms(self) -> Tensor:
        """Return the L2 norm of each gradient there is, in the order of the parameters, as a vector on the device."""
        return torch.stack(torch._foreach_norm([p.grad for p in self._parameters if p.grad is not None]))

    def depth_ratio(self, norms: Sequence[float]) -> float:
        """Return the root mean square of the first weight's gradient over that of the last weight's, from the norms.

        First and last in the order in which the model holds its weights. NaN where that says nothing: with fewer than
        two weights, with parameters that take no part, and when the last gradient is 0.
        """
        if len(self._weights) < 2 or len(norms) < len(self._parameters):
            return NAN
        (first, first_size), (last, last_size) = self._weights[0], self._weights[-1]
        return norms[first] / norms[last] * math.sqrt(last_size / first_size) if norms[last] else NAN

    def clip(self, max_norm: float, norms_P: Tensor) -> None:
        """Scale all gradients, of these norms, so that their global norm is at most ``max_norm``."""
        clip_grads_with_norm_(self._parameters, max_norm, torch.linalg.vector_norm(norms_P))

    def forget(self) -> None:
        """Let go of all gradients."""
        for parameter in self._parameters:
            parameter.grad = None


class ExplosionWatch:
    """Remembers gradient norms and tells when one is out of all proportion to those before.

    With ``clipped`` gradients a large norm does no harm, and only one that is not finite counts.
    """

    def __init__(self, *, clipped: bool) -> None:
        self._clipped = clipped
        self._norms: deque[float] = deque(maxlen=HISTORY)

    @property
    def history(self) -> list[float]:
        """The norms that the next one is compared with, the latest last."""
        return list(self._norms)

    def remember(self, history: Iterable[float]) -> None:
        """Take these norms in place of those seen so far."""
        self._norms = deque(history, maxlen=HISTORY)

    def see(self, norm: float, where: str) -> None:
        """Take a measured norm; ``where`` names its step. Raises :class:`Diverged`."""
        if not math.isfinite(norm):
            raise Diverged(f"gradient norm became {'NaN' if math.isnan(norm) else 'infinite'} {where}; {REMEDY}")
        if norm > EXPLODED_FLOOR and not self._clipped and len(self._norms) >= MIN_HISTORY:
            median = statistics.median(self._norms)
            if norm > EXPLODED_RATIO * median:
                raise Diverged(
                    f"gradient norm exploded to {norm:.3g} {where}, after a median of {median:.3g}; {REMEDY}"
                )
        self._norms.append(norm)


def check_weights(model: nn.Module, epoch: int) -> None:
    """Look at what the last step made of the weights, as no later loss will show it. Raises :class:`Diverged`."""
    weights = [parameter.detach() for parameter in model.parameters()]
    if not math.isfinite(get_total_norm(weights).item()):
        raise Diverged(f"weights are no longer finite after epoch {epoch}; lower the learning rate")
