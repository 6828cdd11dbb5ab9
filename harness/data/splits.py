"""Train, validation and test samples, drawn from the seed; stratified for classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.drawing import Drawing
from harness.data.seeding import derive_seed
from harness.data.sources.source import Source
from harness.data.windows import rolling_origins
from harness.errors import DataError
from harness.spec.task import Split

_FEWEST, _FEWEST_UNTESTED = 10, 5
"""With fewer samples, shares that a task may ask for would round to nothing, or to everything; without a test part."""


@dataclass(frozen=True, eq=False)
class Indices:
    """Sample numbers of each part, ascending; no sample is in two parts."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    joins: tuple[np.ndarray, ...] = ()
    """Samples that overlap with validation, and those that overlap with test, to be learnt from once that is: those of
    series do, whose targets are stretches of time."""

    def refit(self) -> Indices:
        """Return the same test part with everything else to train on."""
        train = np.sort(np.concatenate([self.train, self.validation, *self.joins[:1]]))
        return Indices(
            train, self.validation[:0], self.test, tuple(each[:0] for each in self.joins[:1]) + self.joins[1:]
        )

    def all(self) -> Indices:
        """Return all samples to train on."""
        refit = self.refit()
        rows = np.sort(np.concatenate([refit.train, refit.test, *refit.joins]))
        return Indices(rows, rows[:0], rows[:0])

    def among(self, rows: np.ndarray) -> Indices:
        """Return where training and validation samples stand in ``rows``, which are ascending and hold no test one."""
        return Indices(np.searchsorted(rows, self.train), np.searchsorted(rows, self.validation), rows[:0])


def split_samples(source: Source, split: Split, limit: int | None, seed: int) -> Indices:
    """Draw the parts, but for those that the source itself has; ``limit`` thins out training and validation.

    A part that is given is kept as it is, and a missing one is drawn from what there is to train on. The test part
    depends on (data, ``split``, seed) alone, so that a run with a ``limit`` is judged on the same samples as one
    without. Raises :class:`DataError` when a part would lack a class, or be empty.
    """
    given, drawing = _given(source), Drawing(source, split)
    _check_enough(source, given, tested=split.test > 0.0)
    rest, validation, test = given.train, given.validation, given.test
    share = split.validation
    if not len(test) and split.test > 0.0:
        rest, test = drawing.hold_out(rest, split.test * len(rest), derive_seed(seed, "test"))
        share /= 1.0 - split.test
    if limit is not None and limit < len(rest) + len(validation):
        kept = max(1, round(limit * len(validation) / (len(rest) + len(validation)))) if len(validation) else 0
        _, rest = drawing.hold_out(rest, limit - kept, derive_seed(seed, "limit"))
        if kept:
            _, validation = drawing.hold_out(validation, kept, derive_seed(seed, "limit validation"))
    if not len(validation):
        rest, validation = drawing.hold_out(rest, share * len(rest), derive_seed(seed, "validation"))
    indices = Indices(rest, validation, test, () if limit is not None else given.joins)
    drawn = [name for name in ("validation", "test") if not len(getattr(given, name)) and len(getattr(indices, name))]
    _check_classes(source, indices, limit, drawn)
    return indices


def split_again(source: Source, split: Split, indices: Indices, seeds: Iterable[int]) -> dict[int, Indices]:
    """Draw the validation samples anew with each of the seeds, from all but the test samples, which stay.

    There are as many of them as before, drawn class by class and in whole groups. Those that the source itself has, and
    the last ones in an order, are the same with every seed. Raises :class:`DataError` when a part would lack a class.
    """
    drawing, rows = Drawing(source, split), indices.refit().train
    dealt: dict[int, Indices] = {}
    for seed in seeds:
        if len(_given(source).validation):
            dealt[seed] = indices
            continue
        train, validation = drawing.hold_out(rows, len(indices.validation), derive_seed(seed, "validation"))
        dealt[seed] = Indices(train, validation, indices.test)
        _check_classes(source, dealt[seed], None, ("validation",))
    return dealt


def split_folds(source: Source, split: Split, indices: Indices, count: int) -> tuple[Indices, ...]:
    """Deal training and validation samples into so many folds, each of which is validation in one of what is returned.

    They are drawn from the split's seed, class by class and in whole groups; of stretches of time they follow each
    other, and what comes after a fold is not learnt from. Raises :class:`DataError` when a fold would lack a class, be
    empty, or follow too little.
    """
    if source.in_time:
        return _rolling(source, indices, count)
    rows, drawing, names = indices.refit().train, Drawing(source, split), source.class_names
    fix = f"lower `evaluation.folds` ({count})"
    if (most := drawing.group_count(rows)) < count:
        raise DataError(f"{source.name}: {most} groups of samples cannot be dealt into {count} folds; {fix}")
    counts = _per_class(source, rows)
    if counts.min() < count:
        what = f"class {names[int(counts.argmin())]!r} has" if names else "there are"
        raise DataError(f"{source.name}: {what} {counts.min()} samples, fewer than one for each fold; {fix}")
    held_out = drawing.folds(rows, count, derive_seed(split.seed, "folds"))
    for number, fold in enumerate(held_out, start=1):
        there = _per_class(source, fold)
        if there.min() == 0:
            what = (
                f"has none of class {source.class_names[int(there.argmin())]!r}" if source.class_names else "is empty"
            )
            raise DataError(f"{source.name}: fold {number} {what}, since groups stay together; {fix}")
    return tuple(Indices(np.setdiff1d(rows, fold, assume_unique=True), fold, indices.test) for fold in held_out)


def _rolling(source: Source, indices: Indices, count: int) -> tuple[Indices, ...]:
    """Return folds that roll forward in time up to the test part; what a fold leaves out, a refit learns from."""
    assert source.parts is not None, "time says which part a sample is in"
    learnt = indices.refit().train
    before_test = np.flatnonzero(np.isin(source.parts, (0, 1, 3)))
    folds = []
    for number, (train, validation) in enumerate(rolling_origins(source.inputs, before_test, count), start=1):
        train = np.intersect1d(train, learnt)  # of which `limit` may have left fewer
        if len(train) < _FEWEST:
            raise DataError(
                f"{source.name}: fold {number} of {count} has {len(train)} samples to train on before its horizon, and"
                f" it takes {_FEWEST}; lower `evaluation.folds`, `horizon` or `window`"
            )
        rest = np.setdiff1d(learnt, np.concatenate([train, validation]))
        folds.append(Indices(train, validation, indices.test, (rest, *indices.joins[1:])))
    return tuple(folds)


def _per_class(source: Source, rows: np.ndarray) -> np.ndarray:
    """Return how many of the rows are of each class; of all together where there are none."""
    if not source.class_names:
        return np.array([len(rows)])
    return np.bincount(source.targets[rows], minlength=len(source.class_names))


def _given(source: Source) -> Indices:
    """Return the parts that the source itself has; an empty one is to be drawn from ``train``."""
    everything = np.arange(len(source))
    if source.parts is not None:
        train, validation, test = (everything[source.parts == part] for part in range(3))
        joins = tuple(everything[source.parts == part] for part in (3, 4)) if source.in_time else ()
        return Indices(train, validation, test, joins)
    last = len(source) - source.official_test
    return Indices(everything[:last], everything[:0], everything[last:])


def _check_enough(source: Source, given: Indices, *, tested: bool) -> None:
    rest, fewest = given.train, _FEWEST if tested else _FEWEST_UNTESTED
    if len(rest) < fewest:
        raise DataError(f"{source.name}: {len(rest)} samples are too few to split; it takes {fewest}")
    wanted = ("validation", "test") if tested else ("validation",)
    parts = ["training", *(name for name in wanted if not len(getattr(given, name)))]
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
        if part == "test" and not len(rows):
            continue
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
