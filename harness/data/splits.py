"""Train, validation and test samples: drawn from the seed and stratified for classes, in groups, or in an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.utils import resample

from harness.data.alike import alike
from harness.data.seeding import derive_seed
from harness.data.source import Source
from harness.errors import DataError
from harness.spec.task import Split

_FEWEST = 10
"""With fewer samples, shares that a task may ask for would round to nothing, or to everything."""
_DRAWS = 50
"""Draws of groups, of which the one is taken that comes closest to the size and the classes asked for."""


@dataclass(frozen=True, eq=False)
class Indices:
    """Sample numbers of each part, ascending; no sample is in two parts."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def refit(self) -> Indices:
        """Return the same test part with everything else to train on."""
        return Indices(np.sort(np.concatenate([self.train, self.validation])), self.validation[:0], self.test)


def split_samples(source: Source, split: Split, limit: int | None, seed: int) -> Indices:
    """Draw the parts, but for those that the source itself has; ``limit`` thins out training and validation.

<<<<<<< HEAD
    The test part depends on (data, ``split``, seed) alone, so that a run with a ``limit`` is judged on the same
    samples as one without. Raises :class:`DataError` when a part would lack a class, or be empty.
    """
    _check_enough(source)
    drawing = _Drawing(source, _groups(source, split))
    everything = np.arange(len(source))
    share = split.validation
    if source.official_test:
        rest, test = everything[: -source.official_test], everything[-source.official_test :]
    else:
        rest, test = drawing.hold_out(everything, split.test * len(everything), derive_seed(seed, "test"))
        share /= 1.0 - split.test
    if limit is not None and limit < len(rest):
        _, rest = drawing.hold_out(rest, limit, derive_seed(seed, "limit"))
    train, validation = drawing.hold_out(rest, share * len(rest), derive_seed(seed, "validation"))
    indices = Indices(train, validation, test)
    _check_classes(source, indices, limit)
    return indices


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
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = first.max() + 1 + second.max() + 1
    links = coo_array((np.ones(len(first)), (first, second + first.max() + 1)), shape=(size, size))
    codes: np.ndarray = connected_components(links, directed=False)[1][first]
    return codes


class _Drawing:
    """Holds out samples of a source."""

    def __init__(self, source: Source, groups: np.ndarray | None) -> None:
        self._source = source
        self._groups = groups

    def hold_out(self, rows: np.ndarray, wanted: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the other rows, and about ``wanted``: the last in order, whole groups, or drawn class by class."""
        count = max(1, round(wanted))
        if self._source.order is not None:
            held = rows[np.argsort(self._source.order[rows], kind="stable")[-count:]]
        elif self._groups is not None:
            held = self._whole_groups(rows, count, seed)
        else:
            stratify = self._source.targets[rows] if self._source.class_names else None
            held = resample(rows, replace=False, n_samples=count, random_state=seed % 2**32, stratify=stratify)
        return np.setdiff1d(rows, held, assume_unique=True), np.sort(held)

    def _whole_groups(self, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Return the rows of groups drawn at random, the best of some draws by size and shares of the classes."""
        assert self._groups is not None
        _, codes = np.unique(self._groups[rows], return_inverse=True)
        classes = max(1, len(self._source.class_names))
        targets = self._source.targets[rows] if self._source.class_names else np.zeros(len(rows), np.int64)
        counts_GC = np.zeros((codes.max() + 1, classes))
        np.add.at(counts_GC, (codes, targets), 1.0)
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
=======
    A part that is given is kept as it is, and a missing one is drawn from what there is to train on. The test part
    depends on (data, ``split.test``, seed) alone, so that a run with a ``limit`` is judged on the same samples as one
    without. Raises :class:`DataError` when a part would lack a class, or be empty.
    """
    given = _given(source)
    _check_enough(source, given)
    rest, validation, test = given.train, given.validation, given.test
    share = split.validation
    if not len(test):
        rest, test = _hold_out(source, rest, split.test * len(rest), derive_seed(seed, "test"))
        share /= 1.0 - split.test
    if limit is not None and limit < len(rest) + len(validation):
        kept = max(1, round(limit * len(validation) / (len(rest) + len(validation)))) if len(validation) else 0
        _, rest = _hold_out(source, rest, limit - kept, derive_seed(seed, "limit"))
        if kept:
            _, validation = _hold_out(source, validation, kept, derive_seed(seed, "limit validation"))
    if not len(validation):
        rest, validation = _hold_out(source, rest, share * len(rest), derive_seed(seed, "validation"))
    indices = Indices(rest, validation, test)
    drawn = [name for name in ("validation", "test") if not len(getattr(given, name))]
    _check_classes(source, indices, limit, drawn)
    return indices


def _given(source: Source) -> Indices:
    """Return the parts that the source itself has; an empty one is to be drawn from ``train``."""
    everything = np.arange(len(source))
    if source.parts is not None:
        train, validation, test = (everything[source.parts == part] for part in range(3))
        return Indices(train, validation, test)
    last = len(source) - source.official_test
    return Indices(everything[:last], everything[:0], everything[last:])


def _hold_out(source: Source, rows: np.ndarray, wanted: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the other rows, and about ``wanted`` drawn without replacement in the proportions of the classes."""
    held = resample(
        rows,
        replace=False,
        n_samples=max(1, round(wanted)),
        random_state=seed % 2**32,
        stratify=source.targets[rows] if source.class_names else None,
    )
    return np.setdiff1d(rows, held, assume_unique=True), np.sort(held)
>>>>>>> 698da7e (Images: transparency, 16-bit levels, further frames and parts are read for what they are, and told)


def _check_enough(source: Source, given: Indices) -> None:
    rest = given.train
    if len(rest) < _FEWEST:
        raise DataError(f"{source.name}: {len(rest)} samples are too few to split; it takes {_FEWEST}")
    parts = ["training", *(name for name in ("validation", "test") if not len(getattr(given, name)))]
    if source.class_names and len(parts) > 1:
        counts = np.bincount(source.targets[rest], minlength=len(source.class_names))
        rarest = int(counts.argmin())
        if counts[rarest] < len(parts):
            raise DataError(
                f"{source.name}: class {source.class_names[rarest]!r} has {counts[rarest]} samples, fewer than one for"
                f" each of {', '.join(parts[:-1])} and {parts[-1]}; add samples or remove the class"
            )


def _check_classes(source: Source, indices: Indices, limit: int | None, drawn: Sequence[str]) -> None:
    if not len(indices.train):
        raise DataError(f"{source.name}: no samples are left to train on; lower `split` or raise `limit`")
    for part, rows in (("train", indices.train), ("validation", indices.validation), ("test", indices.test)):
        counts = np.bincount(source.targets[rows], minlength=len(source.class_names)) if source.class_names else [1]
        missing = int(np.argmin(counts))
        if counts[missing] == 0:
            every = int((source.targets == missing).sum())
            raise DataError(
                f"{source.name}: class {source.class_names[missing]!r} ({every} samples) has none among the {len(rows)}"
                f" {part} samples; {_remedies(part, limit, drawn)}"
            )


def _remedies(part: str, limit: int | None, drawn: Sequence[str]) -> str:
    ways = ["add samples or remove the class"]
    if part in drawn:
        ways.insert(0, f"raise `split.{part}`")
    if part == "train" and drawn:
        ways.insert(0, "lower " + " and ".join(f"`split.{name}`" for name in drawn))
    if limit is not None and part != "test":
        ways.insert(0, f"raise `limit` ({limit})")
    return ", ".join(ways)
