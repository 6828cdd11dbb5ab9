"""The samples that are looked at: some of those that may be learnt from, as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.data import Part, TrainingData
from harness.data.features import Features
from harness.data.modalities import modalities
from harness.study.baselines import drawn_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Samples as columns: first numbers, standardised and filled in as for training, then the codes of categories."""

    inputs: Floats | csr_matrix
    """``N x F``; sparse, they are counts."""
    targets: NDArray[np.generic]
    """Class codes, or values in their own units."""
    index: Indices
    """Where each stands in what was read."""
    names: Sequence[str]
    """Of the first columns, or of all; empty where they have none."""
    centre: Floats
    scale: Floats
    """Of each number in its own units: ``centre + scale * x``; empty where columns are not what was read."""
    classes: tuple[str, ...]
    """Empty where a sample is not of one class."""
    categories: int = 0
    """How many of the last columns hold codes."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def numbers(self) -> int:
        """How many of the first columns hold numbers."""
        return int(self.inputs.shape[1]) - self.categories

    @property
    def counted(self) -> bool:
        """Whether columns count what is in a sample."""
        return not isinstance(self.inputs, np.ndarray)

    @property
    def tabular(self) -> bool:
        """Whether columns are those of a table."""
        return len(self.names) > 0 and len(self.centre) == self.numbers

    def own_units(self, column: int) -> Floats:
        """Return a column of numbers as it was read, but for float32's rounding."""
        values: Floats = self.inputs[:, column]
        return self.centre[column] + self.scale[column] * values if len(self.centre) else values


def features_of(dataset: TrainingData, inputs: Sequence[np.ndarray]) -> Features | None:
    """Return prepared samples as columns; None where they are not compared one by one."""
    return modalities[dataset.preprocessing["inputs"]].features(dataset.preprocessing, inputs)


def chosen_inputs(part: Part, rows: Indices) -> tuple[np.ndarray, ...]:
    """Return the prepared inputs of some samples."""
    return tuple(array[rows] for array in part.inputs)


def draw(dataset: TrainingData, parts: Sequence[Part], most: int, seed: int) -> Sample:
    """Return at most so many samples of some parts, in the order of the parts, drawn from the seed."""
    chosen = list(zip(parts, drawn_rows(parts, most, seed), strict=True))
    each = [chosen_inputs(part, rows) for part, rows in chosen]
    found = features_of(dataset, [np.concatenate(arrays) for arrays in zip(*each, strict=True)])
    assert found is not None, "samples can be compared one by one"
    targets = np.concatenate([part.truth[rows] for part, rows in chosen])
    centre, scale = found.units or ((), ())
    return Sample(
        inputs=found.columns,
        targets=targets,
        index=np.concatenate([part.index[rows] for part, rows in chosen]),
        names=found.names,
        centre=np.array(centre, dtype=np.float64),
        scale=np.array(scale, dtype=np.float64),
        classes=dataset.class_names if targets.ndim == 1 else (),
        categories=found.codes.shape[1],
    )


def stacked(first: Any, second: Any) -> Any:
    """Return the columns of two samples below each other."""
    from scipy.sparse import vstack

    dense = isinstance(first, np.ndarray)
    return np.concatenate([first, second]) if dense else vstack([first, second], format="csr")
