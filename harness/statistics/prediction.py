"""Where one more value of the same kind is to be expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import InputError


class Expected(NamedTuple):
    """Where one more value lies with the confidence asked for."""

    low: float
    high: float


def prediction_interval(values: Sequence[float], *, confidence: float = 0.95, margin: float = 0.0) -> Expected:
    """Return the prediction interval of one more draw from where ``values`` were drawn, ``margin`` wider on each side.

    The mean, plus and minus t of n - 1 degrees of freedom times ``s * sqrt(1 + 1/n)``: both the mean of n draws and the
    next draw vary (Hahn and Meeker, 1991, "Statistical intervals", section 4.7). It holds for draws that are about
    normal. The margin is a difference that does not matter. Raises :class:`InputError` below two values, or where one
    is not finite.

    >>> low, high = prediction_interval([0.90, 0.91, 0.92, 0.90, 0.91, 0.92, 0.91])
    >>> round(low, 3), round(high, 3)
    (0.889, 0.931)
    """
    from scipy.stats import t

    drawn = np.asarray(values, dtype=np.float64)
    if drawn.ndim != 1 or len(drawn) < 2 or not np.isfinite(drawn).all():
        raise InputError(f"{drawn.size} values, some maybe not finite, expect no other: give two or more finite ones")
    count, mean = len(drawn), float(drawn.mean())
    reach = float(t.ppf((1 + confidence) / 2, count - 1)) * float(drawn.std(ddof=1)) * math.sqrt(1 + 1 / count)
    return Expected(mean - reach - margin, mean + reach + margin)
