"""The samples that are looked at: some of those that may be learnt from, as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data import Part, TrainingData
from harness.records import InputKind
from harness.study.baseline_models import Columns
from harness.study.baselines import drawn_rows

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

COLUMNS = (InputKind.NUMERIC, InputKind.CATEGORICAL, InputKind.IMAGE)
"""Kinds of inputs that can be looked at as columns; images are average-pooled."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Samples as columns: first numbers, standardised and filled in as for training, then the codes of categories."""

    inputs: Floats
    """``N x F``."""
    targets: NDArray[np.generic]
    """Class codes, or values in their own units."""
    index: Indices
    """Where each stands in what was read."""
    names: tuple[str, ...]
    """Of the columns of a table; empty for images."""
    centre: Floats
    scale: Floats
    """Of each number in its own units: ``centre + scale * x``."""
    classes: tuple[str, ...]
    """Empty where a sample is not of one class."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def numbers(self) -> int:
        """How many of the first columns hold numbers."""
        return len(self.centre)

    def own_units(self, column: int) -> Floats:
        """Return a column of numbers as it was read, but for float32's rounding."""
        values: Floats = self.centre[column] + self.scale[column] * self.inputs[:, column]
        return values


def can_be_seen(dataset: TrainingData) -> bool:
    """Tell whether the inputs can be looked at as columns."""
    return all(each.kind in COLUMNS for each in dataset.shape.inputs)


def draw(dataset: TrainingData, parts: Sequence[Part], most: int, seed: int) -> Sample:
    """Return at most so many samples of some parts, in the order of the parts, drawn from the seed."""
    columns = Columns.of(dataset.shape, seed)
    chosen = list(zip(parts, drawn_rows(parts, most, seed), strict=True))
    numeric = [dataset.preprocessing["numeric"][place] for place in columns.chosen] if not columns.image else []
    codes = dataset.preprocessing["categorical"] if not columns.image else []
    targets = np.concatenate([part.truth[rows] for part, rows in chosen])
    return Sample(
        inputs=np.concatenate([columns.inputs(part, rows) for part, rows in chosen]),
        targets=targets,
        index=np.concatenate([part.index[rows] for part, rows in chosen]),
        names=tuple(str(fitted["column"]) for fitted in (*numeric, *codes)),
        centre=np.array([fitted["mean"] for fitted in numeric], dtype=np.float64),
        scale=np.array([fitted["scale"] for fitted in numeric], dtype=np.float64),
        classes=dataset.class_names if targets.ndim == 1 else (),
    )
