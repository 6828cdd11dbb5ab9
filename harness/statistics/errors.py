"""Standard errors that have a closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def share_error(hits: int, total: int) -> float:
    """Return the standard error of a share, with two hits and two misses added (Agresti and Coull, 1998).

    A few hundred samples that are all hits do not make sure of the next.

    >>> round(share_error(90, 100), 4)
    0.0313
    """
    share = (hits + 2) / (total + 4)
    return math.sqrt(share * (1.0 - share) / (total + 4))


def mean_error(values: NDArray[np.floating[Any]]) -> float:
    """Return the standard error of a mean of independent values.

    >>> mean_error(np.array([1.0, 2.0, 3.0]))
    0.5773502691896258
    """
    return float(np.std(values.astype(np.float64), ddof=1) / math.sqrt(len(values)))
