"""Dominance between rows of objectives: the one place that says what beats what; numpy alone is loaded.

One row dominates another that it is nowhere worse than, and better somewhere (Pareto dominance). Equal rows do not
dominate each other, and a row with a NaN neither dominates nor is dominated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def signed(values: npt.ArrayLike, maximize: Sequence[bool]) -> Floats:
    """Return rows of objectives, shape (..., objectives), with the sign that makes more of each better."""
    table = np.asarray(values, dtype=np.float64)
    return np.where(np.asarray(maximize, dtype=np.bool_), table, -table)


def as_good(rows: Floats, row: Floats) -> Flags:
    """Return which of the ``rows`` dominate ``row`` or equal it; all are :func:`signed`."""
    return np.asarray((rows >= row).all(axis=-1), dtype=np.bool_)


def dominating(rows: Floats, row: Floats) -> Flags:
    """Return which of the ``rows`` dominate ``row``; all are :func:`signed`."""
    return as_good(rows, row) & np.asarray((rows > row).any(axis=-1), dtype=np.bool_)


def pareto_front(values: npt.ArrayLike, maximize: Sequence[bool]) -> Flags:
    """Return which rows of ``values``, shape (trials, objectives), no other row dominates.

    Equal rows share their place on the front; rows with a NaN are never on it.

    >>> pareto_front([[0.9, 5.0], [0.8, 9.0], [0.7, 1.0]], [True, False]).tolist()
    [True, False, True]
    """
    table = signed(np.reshape(np.asarray(values, dtype=np.float64), (-1, len(maximize))), maximize)
    front: Flags = np.zeros(len(table), dtype=np.bool_)
    left = np.flatnonzero(~np.isnan(table).any(axis=1))
    # By the order of the rows none dominates one before it, so the first of those that are left is on the front.
    left = left[np.lexsort(table[left].T)[::-1]]
    while len(left):
        first, left = left[0], left[1:]
        front[first] = True
        left = left[~dominating(-table[left], -table[first])]
    return front
