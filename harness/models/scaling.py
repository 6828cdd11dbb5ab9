"""How the numbers of a table are scaled for a network, by what is known of each column from training.

Shape legend: B batch, F numeric columns, N knots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float64]

LIMIT = 3.0
"""What smoothly clipped numbers stay below."""
_BOUND = 1e-7
"""Levels of a distribution are taken from here to 1 less this, as in scikit-learn: numbers end at 5.2."""
_HALVINGS = 0.5 ** np.arange(1, 24)
"""Shares of the way from the end of a distribution to its next known level: between these two the normal distribution
is no straight line."""


class RobustClip(nn.Module):
    """Puts numbers on the median and the distance of the quartiles, and clips them smoothly.

    Of RealMLP (Holzmueller et al., 2024, arXiv:2407.04491). ``quantiles`` are those of each column at equal distances;
    without them numbers are only clipped.
    """

    median: Tensor
    factor: Tensor

    def __init__(self, quantiles: Sequence[Sequence[float]], features: int) -> None:
        super().__init__()
        known = list(map(_median_and_factor, quantiles)) or [(0.0, 1.0)] * features
        # They follow from the data, so they are no part of the weights.
        for name, values in zip(("median", "factor"), np.reshape(known, (-1, 2)).T.tolist(), strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return ``B x F``."""
        x_BF = (x_BF - self.median) * self.factor
        return x_BF / (1.0 + (x_BF / LIMIT).square()).sqrt()


def _median_and_factor(quantiles: Sequence[float]) -> tuple[float, float]:
    """Return what to take off a number and what to multiply it with.

    Where the quartiles are one number, half of the range stands for their distance.
    """
    if len(quantiles) < 2:
        return 0.0, 1.0
    shares = np.linspace(0.0, 1.0, len(quantiles))
    low, median, high = np.interp([0.25, 0.5, 0.75], shares, quantiles).tolist()
    distance = high - low or 0.5 * (quantiles[-1] - quantiles[0])
    return median, 1.0 / distance if distance else 0.0


def clipped(values: Floats, quantiles: Sequence[float]) -> Floats:
    """Return what :class:`RobustClip` makes of values of a column."""
    median, factor = _median_and_factor(quantiles)
    scaled = (values - median) * factor
    return scaled / np.sqrt(1.0 + np.square(scaled / LIMIT))


class Interpolated(nn.Module):
    """Takes the numbers of each column along a line through knots of its own; beyond its ends a line is level.

    ``knots`` are for each column where they are, ascending, and what numbers become there.
    """

    start: Tensor
    width: Tensor
    value: Tensor
    rise: Tensor

    def __init__(self, knots: Sequence[tuple[Floats, Floats]]) -> None:
        super().__init__()
        size = 1 << (max(len(x_N) for x_N, _ in knots) - 1).bit_length()
        pieces = zip(*(_pieces(x_N, y_N, size) for x_N, y_N in knots), strict=True)
        for name, values in zip(("start", "width", "value", "rise"), pieces, strict=True):
            table_FN = torch.tensor(np.array(values).tolist(), dtype=torch.float32)
            self.register_buffer(name, table_FN, persistent=False)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return ``B x F``."""
        x_FB = x_BF.T.contiguous()
        place_FB = self._places(x_FB)
        tables = (self.start, self.width, self.value, self.rise)
        start_FB, width_FB, value_FB, rise_FB = (table_FN.gather(1, place_FB) for table_FN in tables)
        through_FB = ((x_FB - start_FB) / width_FB).clamp(0.0, 1.0)
        return (value_FB + through_FB * rise_FB).T

    def _places(self, x_FB: Tensor) -> Tensor:
        """Return the number of the last knot that each number is not below; 0 where there is none."""
        if not torch.compiler.is_exporting():
            return torch.searchsorted(self.start.to(x_FB.dtype), x_FB, right=True).sub(1).clamp_min(0)
        # ONNX has no such operation. This takes ten times as long.
        place_FB = torch.zeros_like(x_FB, dtype=torch.int64)
        step = self.start.shape[1] // 2
        while step:
            behind_FB = x_FB >= self.start.gather(1, place_FB + step)
            place_FB = place_FB + step * behind_FB.long()
            step //= 2
        return place_FB

    def extra_repr(self) -> str:
        """Return the sizes, on which the time of a pass depends."""
        return "columns={}, knots={}".format(*self.start.shape)


def interpolated(values: Floats, knots: tuple[Floats, Floats]) -> Floats:
    """Return what :class:`Interpolated` makes of values of a column."""
    found: Floats = np.interp(values, *knots)
    return found


def _pieces(x_N: Floats, y_N: Floats, size: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return start, width, value and rise of each piece of a line, and behind them of some that are never reached."""
    more = (0, size - len(x_N))
    return (
        np.pad(x_N, more, constant_values=math.inf),
        np.pad(np.append(np.diff(x_N), 1.0), more, constant_values=1.0),
        np.pad(y_N, more),
        np.pad(np.append(np.diff(y_N), 0.0), more),
    )


def normal_knots(distribution: Sequence[float]) -> tuple[Floats, Floats]:
    """Return the line along which a column's numbers become normally distributed: where its knots are, and what there.

    ``distribution`` are the quantiles of the column at equal distances, repeated ones included. It is scikit-learn's
    ``QuantileTransformer(output_distribution="normal")`` but for numbers that many samples have in common: they are in
    the middle of their levels at the ends as well, where scikit-learn takes the bound, and nothing jumps beside them,
    so that no rounding of a number is of consequence.
    """
    values, first, count = np.unique(np.asarray(distribution, np.float64), return_index=True, return_counts=True)
    levels = (first + 0.5 * (count - 1)) / max(len(distribution) - 1, 1)
    if len(values) < 2:
        return values, np.zeros(1)
    at, level = [values], [levels]
    if levels[0] == 0.0:
        at.append(values[0] + (values[1] - values[0]) * _HALVINGS)
        level.append(levels[1] * _HALVINGS)
    if levels[-1] == 1.0:
        at.append(values[-1] - (values[-1] - values[-2]) * _HALVINGS)
        level.append(1.0 - (1.0 - levels[-2]) * _HALVINGS)
    # What is one number in float32 is one knot: of each such the first, which is of the distribution itself.
    x_N, kept = np.unique(np.concatenate(at).astype(np.float32), return_index=True)
    within_N = np.clip(np.concatenate(level)[kept], _BOUND, 1.0 - _BOUND)
    return x_N.astype(np.float64), np.array(list(map(NormalDist().inv_cdf, within_N)))
