"""Samples as columns of numbers, whatever kind of inputs they have: for who compares them without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

MOST = 2_000
"""Columns of numbers; of more, evenly chosen ones are taken."""


@dataclass(frozen=True, eq=False)
class Features:
    """What samples are like: numbers by which a classifier can tell them apart, then codes of categories."""

    numbers: np.ndarray | csr_matrix
    """``N x F``; sparse, they are counts of what is in a sample, such as words."""
    names: Sequence[str] = ()
    """Of the first columns, or of all; empty where they have none."""
    codes: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    """int64 ``N x K``."""
    units: tuple[Sequence[float], Sequence[float]] | None = None
    """Centre and scale of each number, ``centre + scale * x`` being what was read; None: it is not what was read."""

    @property
    def columns(self) -> Floats | csr_matrix:
        """Numbers and codes side by side."""
        if not isinstance(self.numbers, np.ndarray):
            return self.numbers
        beside = (self.codes,) if self.codes.size else ()
        return np.column_stack([self.numbers, *beside]).astype(np.float64, copy=False)


class Outline(NamedTuple):
    """What copies of a sample have in common with it, however they were rescaled or rewritten."""

    values: Floats | csr_matrix
    """``N x D``; rows with NaN are like no other. Sparse, they are sets, whose distance is Jaccard's."""
    near: float = 0.003
    """Share of the usual distance to the nearest sample below which two are near copies."""


class Fault(NamedTuple):
    """Samples of which little is to be learnt."""

    code: str
    what: str
    """As in "3 of 400 samples ``what``"."""
    remedy: str
    found: NDArray[np.bool_]
    """(N,)."""


def evenly(columns: int) -> slice:
    """Return which of so many columns are taken.

    >>> evenly(3), evenly(2 * MOST)
    (slice(None, None, 1), slice(None, None, 2))
    """
    return slice(None, None, max(1, -(-columns // MOST)))


def block_means(values_NTD: np.ndarray, most: int) -> np.ndarray:
    """Return float64 means ``N x B x D`` of blocks of steps in a row, at most so many; the last one may be shorter.

    >>> block_means(np.arange(5.0).reshape(1, 5, 1), 3)[0, :, 0].tolist()
    [0.5, 2.5, 4.0]
    """
    steps = values_NTD.shape[1]
    starts = np.arange(0, steps, -(-steps // most))
    sums: np.ndarray = np.add.reduceat(values_NTD, starts, axis=1, dtype=np.float64)
    return sums / np.diff(np.append(starts, steps))[:, None]
