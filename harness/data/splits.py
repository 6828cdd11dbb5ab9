"""Train, validation and test samples, drawn from the seed; stratified for classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.utils import resample

from harness.data.seeding import derive_seed
from harness.data.source import Source
from harness.errors import DataError
from harness.spec.task import Split

_FEWEST = 10
"""With fewer samples, shares that a task may ask for would round to nothing, or to everything."""


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
    """Draw the parts. An official test set is kept; ``limit`` thins out what is left for training and validation.

    The test part depends on (data, ``split.test``, seed) alone, so that a run with a ``limit`` is judged on the same
    samples as one without. Raises :class:`DataError` when a part would lack a class, or be empty.
    """
    _check_enough(source)
    everything = np.arange(len(source))
    share = split.validation
    if source.official_test:
        rest, test = everything[: -source.official_test], everything[-source.official_test :]
    else:
        rest, test = _hold_out(source, everything, split.test * len(everything), derive_seed(seed, "test"))
        share /= 1.0 - split.test
    if limit is not None and limit < len(rest):
        _, rest = _hold_out(source, rest, limit, derive_seed(seed, "limit"))
    train, validation = _hold_out(source, rest, share * len(rest), derive_seed(seed, "validation"))
    indices = Indices(train, validation, test)
    _check_classes(source, indices, limit)
    return indices


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


def _check_enough(source: Source) -> None:
    shared_out = len(source) - source.official_test
    if shared_out < _FEWEST:
        raise DataError(f"{source.name}: {shared_out} samples are too few to split; it takes {_FEWEST}")
    if source.class_names:
        counts = np.bincount(source.targets[:shared_out], minlength=len(source.class_names))
        rarest = int(counts.argmin())
        if counts[rarest] < (2 if source.official_test else 3):
            raise DataError(
                f"{source.name}: class {source.class_names[rarest]!r} has {counts[rarest]} samples, fewer than one for"
                " each of training, validation and test; add samples or remove the class"
            )


def _check_classes(source: Source, indices: Indices, limit: int | None) -> None:
    if not len(indices.train):
        raise DataError(f"{source.name}: no samples are left to train on; lower `split` or raise `limit`")
    for part, rows in (("train", indices.train), ("validation", indices.validation), ("test", indices.test)):
        counts = np.bincount(source.targets[rows], minlength=len(source.class_names)) if source.class_names else [1]
        missing = int(np.argmin(counts))
        if counts[missing] == 0:
            every = int((source.targets == missing).sum())
            raise DataError(
                f"{source.name}: class {source.class_names[missing]!r} ({every} samples) has none among the {len(rows)}"
                f" {part} samples; {_remedies(part, limit, official=source.official_test > 0)}"
            )


def _remedies(part: str, limit: int | None, *, official: bool) -> str:
    ways = ["add samples or remove the class"]
    if part == "validation" or (part == "test" and not official):
        ways.insert(0, f"raise `split.{part}`")
    if part == "train":
        ways.insert(0, "lower `split.validation` and `split.test`")
    if limit is not None and part != "test":
        ways.insert(0, f"raise `limit` ({limit})")
    return ", ".join(ways)
