"""Layers of several models of one structure, computed as one: forward, and backward by hand.

Each follows the layers of :mod:`harness.models.layers` that it is made of, one of each model. Autograd would give the
same; by hand a step of a single small model takes about a third of the time, since nothing is looked up and nothing
allocated, and gradients of weights are written where the optimisers read them.

Shape legend: K models, B batch, I and O features before and after, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from harness.models.masks import draw_mask
from harness.problems.counted import Counted
from harness.train.stack.slabs import Buffers, Stacked, elementwise, product


@dataclass(frozen=True, slots=True)
class Learning:
    """What layers must know of a step in which models learn."""

    chance: Sequence[Generator]
    """Of each model, what its masks are drawn from."""
    counted: Counted | None = None
    """Which samples of each model count, if not all do."""


Step = Learning | None
"""None: the models are only looked at."""


class Layer(Protocol):
    """Layers of several models."""

    def forward(self, x_KBI: Tensor, step: Step, /) -> Tensor:
        """Return the outputs; in training they are remembered for :meth:`backward`, until the next call."""

    def backward(self, gradient_KBO: Tensor, *, needed: bool) -> Tensor:
        """Write the gradients of the parameters, and return that of the inputs if it is ``needed``."""

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the models at these places."""


class Linear:
    """``x W^T + b``."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self._weight = Stacked(layers, "weight")
        self._bias = Stacked(layers, "bias") if layers[0].bias is not None else None
        self._buffers = Buffers()
        self._look()

    def forward(self, x_KBI: Tensor, _step: Step) -> Tensor:
        """Return the outputs."""
        self._x_KBI = x_KBI
        out = self._buffers.get("output", x_KBI, self._outputs)
        return product(x_KBI, self._weight_KIO, out=out, bias_K1O=self._bias_K1O)

    def backward(self, gradient_KBO: Tensor, *, needed: bool) -> Tensor:
        """Write the gradients of weight and bias."""
        product(gradient_KBO.transpose(1, 2), self._x_KBI, out=self._weight.gradient)
        if self._bias is not None:
            torch.sum(gradient_KBO, 1, out=self._bias.gradient)
        if not needed:
            return gradient_KBO
        out = self._buffers.get("gradient", self._x_KBI)
        return product(gradient_KBO, self._weight.value, out=out)

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the models at these places."""
        for parameter in filter(None, (self._weight, self._bias)):
            parameter.keep(places)
        self._buffers.clear()
        self._look()

    def _look(self) -> None:
        """Make the views that every step takes."""
        self._outputs = self._weight.value.shape[1]
        self._weight_KIO = self._weight.value.transpose(1, 2)
        self._bias_K1O = None if self._bias is None else self._bias.value.unsqueeze(1)


class Norm:
    """A scale and a shift of what is normalised, by :meth:`_normalise` and back."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d] | Sequence[nn.LayerNorm] | Sequence[nn.GroupNorm]) -> None:
        self._weight, self._bias = Stacked(layers, "weight"), Stacked(layers, "bias")
        self._buffers = Buffers()
        self._eps = layers[0].eps

    def forward(self, x_KBW: Tensor, step: Step) -> Tensor:
        """Return the outputs."""
        self._normal_KBW = self._normalise(x_KBW, step)
        out = self._buffers.get("output", x_KBW)
        torch.mul(self._normal_KBW, self._weight.value.unsqueeze(1), out=out)
        return out.add_(self._bias.value.unsqueeze(1))

    def backward(self, gradient_KBW: Tensor, *, needed: bool) -> Tensor:
        """Write the gradients of scale and shift."""
        through = torch.mul(gradient_KBW, self._normal_KBW, out=self._buffers.get("product", gradient_KBW))
        torch.sum(through, 1, out=self._weight.gradient)
        torch.sum(gradient_KBW, 1, out=self._bias.gradient)
        return self._back(gradient_KBW) if needed else gradient_KBW

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the models at these places."""
        self._weight.keep(places)
        self._bias.keep(places)
        self._buffers.clear()

    def _normalise(self, x_KBW: Tensor, step: Step, /) -> Tensor:
        raise NotImplementedError

    def _back(self, gradient_KBW: Tensor) -> Tensor:
        raise NotImplementedError


class BatchNorm(Norm):
    """Over the samples of a batch that count; models that are looked at, by the running statistics."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__(layers)
        self._mean, self._variance = Stacked(layers, "running_mean"), Stacked(layers, "running_var")
        self._batches = Stacked(layers, "num_batches_tracked")
        self._momentum = layers[0].momentum or 0.0

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the models at these places."""
        super().keep(places)
        for statistic in (self._mean, self._variance, self._batches):
            statistic.keep(places)

    def _normalise(self, x_KBW: Tensor, step: Step, /) -> Tensor:
        out = self._buffers.get("normal", x_KBW)
        if step is None:
            torch.sub(x_KBW, self._mean.value.unsqueeze(1), out=out)
            return out.mul_((self._variance.value + self._eps).rsqrt_().unsqueeze(1))
        self._counted = step.counted
        mean_K1W = self._means(x_KBW, step.counted)
        torch.sub(x_KBW, mean_K1W, out=out)
        squares = torch.mul(out, out, out=self._buffers.get("product", x_KBW))
        variance_K1W = self._means(squares, step.counted)
        samples = _samples(x_KBW, step.counted)
        self._mean.value.lerp_(mean_K1W.squeeze(1), self._momentum)
        self._variance.value.lerp_((variance_K1W * (samples / (samples - 1))).squeeze(1), self._momentum)
        self._batches.value.add_(1)
        self._inverse_K1W = variance_K1W.add_(self._eps).rsqrt_()
        return out.mul_(self._inverse_K1W)

    def _means(self, x_KBW: Tensor, counted: Counted | None) -> Tensor:
        """Return the means over the samples that count, ``K x 1 x W``."""
        if counted is None:
            return x_KBW.mean(1, keepdim=True)
        weighted = torch.mul(x_KBW, counted.weights_KB1, out=self._buffers.get("weighted", x_KBW))
        return weighted.sum(1, keepdim=True).div_(counted.divisors(x_KBW))

    def _back(self, gradient_KBW: Tensor) -> Tensor:
        samples = _samples(gradient_KBW, self._counted)
        out = self._buffers.get("gradient", gradient_KBW)
        torch.mul(self._normal_KBW, self._weight.gradient.unsqueeze(1) / -samples, out=out)
        out.add_(gradient_KBW).sub_(self._bias.gradient.unsqueeze(1) / samples)
        out.mul_(self._inverse_K1W * self._weight.value.unsqueeze(1))
        return out if self._counted is None else out.mul_(self._counted.weights_KB1)


def _samples(x_KBW: Tensor, counted: Counted | None) -> Tensor | int:
    """Return how many samples count."""
    return x_KBW.shape[1] if counted is None else counted.divisors(x_KBW)


class GroupNorm(Norm):
    """Over groups of the features of a sample; a layer norm has one group."""

    def __init__(self, layers: Sequence[nn.LayerNorm] | Sequence[nn.GroupNorm]) -> None:
        super().__init__(layers)
        first = layers[0]
        self._groups = first.num_groups if isinstance(first, nn.GroupNorm) else 1

    def _normalise(self, x_KBW: Tensor, _step: Step, /) -> Tensor:
        x_KBGW = self._grouped(x_KBW)
        self._x_KBGW = x_KBGW
        normal, self._mean, self._inverse = torch.native_layer_norm(x_KBGW, x_KBGW.shape[3:], None, None, self._eps)
        return normal.view(x_KBW.shape)

    def _back(self, gradient_KBW: Tensor) -> Tensor:
        gradient_KBGW = self._grouped(gradient_KBW * self._weight.value.unsqueeze(1))
        found: Tensor = torch.ops.aten.native_layer_norm_backward(
            gradient_KBGW,
            self._x_KBGW,
            gradient_KBGW.shape[3:],
            self._mean,
            self._inverse,
            None,
            None,
            [True, False, False],
        )[0]
        out = self._buffers.get("gradient", gradient_KBW)
        return out.copy_(found.view(gradient_KBW.shape))

    def _grouped(self, x_KBW: Tensor) -> Tensor:
        models, samples, _ = x_KBW.shape
        return x_KBW.reshape(models, samples, self._groups, -1).contiguous()


Function = Callable[..., Tensor]
_ATEN = torch.ops.aten


def _back(function: Function, *options: object) -> Function:
    """Return a derivative of torch's that takes the gradient and what it is a function of."""
    return lambda gradient, seen, out: function(gradient, seen, *options, grad_input=out)


ACTIVATIONS: dict[type[nn.Module], tuple[Function, Function, bool]] = {
    nn.ReLU: (lambda x, out: torch.clamp_min(x, 0.0, out=out), _back(_ATEN.threshold_backward.grad_input, 0.0), True),
    nn.GELU: (_ATEN.gelu.out, _back(_ATEN.gelu_backward.grad_input), False),
    nn.SiLU: (_ATEN.silu.out, _back(_ATEN.silu_backward.grad_input), False),
    nn.Tanh: (torch.tanh, _back(_ATEN.tanh_backward.grad_input), True),
    nn.Sigmoid: (torch.sigmoid, _back(_ATEN.sigmoid_backward.grad_input), True),
    nn.ELU: (
        _ATEN.elu.out,
        lambda gradient, x, out: _ATEN.elu_backward.grad_input(gradient, 1.0, 1.0, 1.0, False, x, grad_input=out),
        False,
    ),
    nn.LeakyReLU: (_ATEN.leaky_relu.out, _back(_ATEN.leaky_relu_backward.grad_input, 0.01, False), False),
}
"""With their derivatives, and whether those follow from the outputs instead of the inputs. The options of each are the
defaults, as families build them."""


class Activation:
    """Non-linearities: those of neighbours that are of one kind at once."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._kinds = [type(layer) for layer in layers]
        self._buffers = Buffers()
        self._runs = _runs(self._kinds)

    def forward(self, x_KBW: Tensor, _step: Step) -> Tensor:
        """Return the outputs."""
        out = self._buffers.get("output", x_KBW)
        for kind, part in self._runs:
            elementwise(ACTIVATIONS[kind][0], x_KBW[part], out=out[part])
        self._x_KBW, self._out_KBW = x_KBW, out
        return out

    def backward(self, gradient_KBW: Tensor, *, needed: bool) -> Tensor:
        """Return the gradient of the inputs."""
        if not needed:
            return gradient_KBW
        out = self._buffers.get("gradient", gradient_KBW)
        for kind, part in self._runs:
            _, derivative, of_outputs = ACTIVATIONS[kind]
            seen = self._out_KBW if of_outputs else self._x_KBW
            elementwise(derivative, gradient_KBW[part], seen[part], out=out[part])
        return out

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the models at these places."""
        self._kinds = [self._kinds[place] for place in places]
        self._buffers.clear()
        self._runs = _runs(self._kinds)


def _runs(kinds: Sequence[type[nn.Module]]) -> list[tuple[type[nn.Module], slice]]:
    """Return where neighbours of one kind are."""
    runs, start = [], 0
    for kind, group in groupby(kinds):
        stop = start + len(list(group))
        runs.append((kind, slice(start, stop)))
        start = stop
    return runs


class Dropout:
    """Masks, each drawn as a model alone draws it; a model without the layer, or only looked at, keeps all."""

    def __init__(self, layers: Sequence[nn.Dropout | None]) -> None:
        self._layers = list(layers)
        self._buffers = Buffers()

    def forward(self, x_KBW: Tensor, step: Step) -> Tensor:
        """Return the outputs."""
        shares = [layer.p if layer is not None else 0.0 for layer in self._layers]
        self._drawn = step is not None and any(shares)
        if step is None or not self._drawn:
            return x_KBW
        mask = self._buffers.get("mask", x_KBW)
        for place, (of_one, share, generator) in enumerate(zip(mask, shares, step.chance, strict=True)):
            if share > 0.0:
                # No more is drawn than a model alone would draw: what comes after depends on it.
                drawn = of_one if step.counted is None else of_one.fill_(1.0)[: step.counted.sizes[place]]
                draw_mask(drawn, share, generator)
            else:
                of_one.fill_(1.0)
        return torch.mul(x_KBW, mask, out=self._buffers.get("output", x_KBW))

    def backward(self, gradient_KBW: Tensor, *, needed: bool) -> Tensor:
        """Return the gradient of the inputs."""
        if not (self._drawn and needed):
            return gradient_KBW
        mask = self._buffers.get("mask", gradient_KBW)
        return torch.mul(gradient_KBW, mask, out=self._buffers.get("gradient", gradient_KBW))

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the models at these places."""
        self._layers = [self._layers[place] for place in places]
        self._buffers.clear()
