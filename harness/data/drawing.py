"""Which samples are held out: drawn class by class, in whole groups, or the last ones in an order."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import resample

from harness.data.alike import alike
from harness.data.sources.source import Source
from harness.errors import DataError
from harness.spec.task import Split

_DRAWS = 50
"""Draws of groups, of which the one is taken that comes closest to the size and the classes asked for."""


class Drawing:
    """Holds out samples of a source."""

    def __init__(self, source: Source, split: Split) -> None:
        self._source = source
        self._groups = _groups(source, split)

    def hold_out(self, rows: np.ndarray, wanted: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the other rows, and about ``wanted``: the last in order, whole groups, or drawn class by class.

        Of a class with so few rows that its share rounds to none, one is held out all the same, if it has another.
        """
        count = max(1, round(wanted))
        if self._source.order is not None:
            held_out = rows[np.argsort(self._source.order[rows], kind="stable")[-count:]]
        elif self._groups is not None:
            held_out = self._whole_groups(rows, count, seed)
        else:
            strata = self._source.strata
            stratify = None if strata is None else strata[rows]
            held_out = resample(rows, replace=False, n_samples=count, random_state=seed % 2**32, stratify=stratify)
            if stratify is not None:
                held_out = np.concatenate([held_out, self._of_rare(rows, held_out, seed)])
        return np.setdiff1d(rows, held_out, assume_unique=True), np.sort(held_out)

    def _of_rare(self, rows: np.ndarray, held_out: np.ndarray, seed: int) -> np.ndarray:
        """Return a row of each class that none was held out of and that has several."""
        strata, generator = self._source.strata, np.random.default_rng(seed)
        assert strata is not None
        codes, counts = np.unique(strata[rows], return_counts=True)
        missing = np.setdiff1d(codes[counts > 1], strata[held_out])
        return np.array([generator.choice(rows[strata[rows] == code]) for code in missing], dtype=rows.dtype)

    def folds(self, rows: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
        """Deal the rows into so many folds, class by class and in whole groups; return the rows of each."""
        strata = self._source.strata
        stratify = np.zeros(len(rows), np.int64) if strata is None else strata[rows]
        options = {"n_splits": count, "shuffle": True, "random_state": seed % 2**32}
        if self._groups is not None:
            dealt = StratifiedGroupKFold(**options).split(rows, stratify, self._groups[rows])
        else:
            dealt = (KFold if strata is None else StratifiedKFold)(**options).split(rows, stratify)
        return [rows[held_out] for _, held_out in dealt]

    def group_count(self, rows: np.ndarray) -> int:
        """Return how many of the rows could be drawn apart from each other: groups, or single rows."""
        return len(rows) if self._groups is None else len(np.unique(self._groups[rows]))

    def _whole_groups(self, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Return the rows of groups drawn at random, the best of some draws by size and shares of the classes."""
        assert self._groups is not None
        _, codes = np.unique(self._groups[rows], return_inverse=True)
        strata = np.zeros(len(self._source), np.int64) if self._source.strata is None else self._source.strata
        counts_GC = np.zeros((codes.max() + 1, strata.max() + 1))
        np.add.at(counts_GC, (codes, strata[rows]), 1.0)
        wanted_C = counts_GC.sum(axis=0) * count / len(rows)
        generator = np.random.default_rng(seed)
        best, best_miss = np.empty(0, np.int64), np.inf
        for _ in range(_DRAWS):
            drawn = generator.permutation(len(counts_GC))
            sizes = counts_GC[drawn].sum(axis=1).cumsum()
            # All but one group at most, so that something is left.
            taken = drawn[: min(max(1, int(np.searchsorted(sizes, count, side="right"))), len(drawn) - 1)]
            got_C = counts_GC[taken].sum(axis=0)
            miss = np.abs(got_C - wanted_C).sum() + (len(rows) if (got_C == 0).any() else 0)
            if miss < best_miss:
                best, best_miss = taken, miss
        return rows[np.isin(codes, best)]


def _groups(source: Source, split: Split) -> np.ndarray | None:
    """Return which samples stay together, as codes; None where each is for itself."""
    codes = []
    if source.groups is not None:
        codes.append(np.unique(source.groups.astype(str), return_inverse=True)[1])
    elif split.group is not None or (split.order is not None and source.order is None):
        key = "group" if split.group is not None else "order"
        raise DataError(f"{source.name}: split.{key} names a column, and this data is no table with named columns")
    if split.duplicates == "together":
        codes.append(alike(source.inputs))
    if len(codes) == 2:
        return _joined(*codes)
    if codes and len(np.unique(codes[0])) < 3:
        raise DataError(
            f"{source.name}: {len(np.unique(codes[0]))} groups are fewer than one for each of training, validation and"
            " test; name a column with more values under `split.group`"
        )
    return codes[0] if codes else None


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return codes of the groups that two groupings of the same samples grow together to."""
    size = first.max() + 1 + second.max() + 1
    links = coo_array((np.ones(len(first)), (first, second + first.max() + 1)), shape=(size, size))
    codes: np.ndarray = connected_components(links, directed=False)[1][first]
    return codes
