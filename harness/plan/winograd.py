"""Convolutions of small maps by Winograd's algorithm (Lavin and Gray, 2016, arXiv:1509.09308): in training, on a CPU.

A 3 x 3 convolution of a map of at most ``LARGEST`` pixels along each side is three linear maps: the map with its border
of zeros is evaluated at t x t points, with t = 2 more than its side, and so are the kernels; at each point there is one
product of matrices over the whole batch; the results are interpolated. A map of 6 x 6 takes 64 products of channels
instead of 324. All of it is torch's ``bmm``, whose gradients are of the same kind. The sums are rounded otherwise: of
their size they are off by 5e-6 in a map of 6 x 6 and 4e-5 in one of 8 x 8, where a plain sum is off by 5e-7 and one of
products in TF32 by 4e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

SMALLEST, LARGEST = 2, 8
"""Pixels along each side of the map."""
LEAST = 32
"""Samples and channels, of inputs and outputs, from which the products repay what is around them."""
SIDE = 3
"""Of the kernel."""
POINTS = {
    4: (Fraction(1),),
    5: (Fraction(1), Fraction(2)),
    6: (Fraction(3, 4), Fraction(3, 2)),
    7: (Fraction(1, 2), Fraction(1), Fraction(3)),
    8: (Fraction(3, 5), Fraction(1), Fraction(2)),
    9: (Fraction(2, 5), Fraction(3, 4), Fraction(3, 2), Fraction(4)),
    10: (Fraction(2, 5), Fraction(2, 3), Fraction(4, 3), Fraction(2)),
}
"""By their number t: each counts with both signs, beside 0 and, where t is even, infinity. Found by rounding errors."""


class WinogradConv2d(nn.Conv2d):
    """A convolution that goes this way in training, where it can; in use, as everywhere, it is torch's own."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self.training or not _is_small(x):
            direct: Tensor = super()._conv_forward(x, weight, bias)
            return direct
        y_BKHW = convolve(x, weight)
        return y_BKHW if bias is None else y_BKHW + bias.view(-1, 1, 1)


def fits(layer: nn.Module) -> bool:
    """Tell whether the layer is a convolution that can go this way, on maps that are small enough."""
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size == (SIDE, SIDE)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= LEAST
    )


def use_winograd(model: nn.Module) -> None:
    """Have every convolution that fits go this way from now on; parameters and their names stay."""
    for layer in model.modules():
        if fits(layer):
            layer.__class__ = WinogradConv2d


def has_small_maps(model: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """Tell whether a convolution of the model would go this way with such a batch, by one pass."""
    seen: list[bool] = []

    def look(_layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen.append(_is_small(arguments[0]))

    layers = [layer for layer in model.modules() if fits(layer)]
    if not layers or len(inputs[0]) < LEAST:
        return False
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return any(seen)


def _is_small(x: Tensor) -> bool:
    """Tell whether a batch of maps goes this way: enough small ones on a CPU, with nothing rounded further."""
    in_full = x.is_cpu and not torch.is_autocast_enabled("cpu")
    return in_full and x.ndim == 4 and len(x) >= LEAST and all(SMALLEST <= side <= LARGEST for side in x.shape[2:])


def convolve(x_BCHW: Tensor, weight_KCRS: Tensor) -> Tensor:
    """Return the map (B, K, H, W), channels last, of a 3 x 3 convolution with a border of zeros.

    F counts points. Where ``x_BCHW`` lies channels last, nothing is copied.
    """
    samples, channels, height, width = x_BCHW.shape
    into_FP, kernels_FR, out_of_PF = _transforms(height, width, x_BCHW.dtype)
    u_FCK = (kernels_FR @ weight_KCRS.permute(2, 3, 1, 0).reshape(SIDE * SIDE, -1)).view(-1, channels, len(weight_KCRS))
    x_BPC = x_BCHW.permute(0, 2, 3, 1).reshape(samples, height * width, channels)
    x_BFC = torch.bmm(into_FP.expand(samples, -1, -1), x_BPC)
    y_FBK = torch.bmm(x_BFC.transpose(0, 1), u_FCK)
    y_BPK = torch.bmm(out_of_PF.expand(samples, -1, -1), y_FBK.transpose(0, 1))
    return y_BPK.view(samples, height, width, -1).permute(0, 3, 1, 2)


@cache
def _transforms(height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return what takes the pixels of a map to points, a kernel to points, and points to pixels."""
    rows, columns = _of_a_side(height), _of_a_side(width)
    into, kernels, out_of = (np.kron(row, column) for row, column in zip(rows, columns, strict=True))
    with torch.inference_mode(mode=False):  # whoever asks first, they serve trainings too
        return tuple(torch.tensor(each, dtype=dtype) for each in (into, kernels, out_of))  # type: ignore[return-value]


def _of_a_side(pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same of one side, by Toom and Cook: a polynomial product at the points, turned round (transposed)."""
    points = pixels + SIDE - 1
    inputs_TP = np.linalg.inv(_powers(points, points)).T[:, 1:-1]  # what is on the border is 0
    return inputs_TP, _powers(points, SIDE), _powers(points, pixels).T


def _powers(points: int, terms: int) -> np.ndarray:
    """Return the powers 0 to ``terms - 1`` of every point; of infinity only the last one counts."""
    finite = [0.0, *(float(sign * point) for point in POINTS[points] for sign in (1, -1))]
    last = [] if points % 2 else [[0.0] * (terms - 1) + [1.0]]
    return np.array([[point**power for power in range(terms)] for point in finite] + last)
