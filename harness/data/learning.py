"""The samples that may be learned from, split into training and validation samples anew for each seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.data.dataset import Dataset
from harness.data.drawing import Drawing
from harness.data.seeding import derive_seed
from harness.data.splits import Indices
from harness.data.training_data import TrainingData
from harness.spec.task import Split


class Learning:
    """Training and validation samples together, without the test samples, so that it can be sent to what trains.

    Only the last split is kept in memory beside them. Samples with a ``task.split.order`` keep it: the last ones are
    the validation samples under every seed.
    """

    def __init__(self, dataset: Dataset, split: Split, seeds: Mapping[int, int]) -> None:
        """``seeds`` has the seed of the split by that of the training."""
        self._source, self._validation = dataset.to_learn_from()
        self._split = split
        self._seeds = seeds
        self._last: tuple[int, TrainingData] | None = None

    def under(self, training: int) -> TrainingData:
        """Return the samples as they are split for the training with a seed.

        As many of them are for validation as in the task's own split.
        """
        seed = self._seeds[training]
        if self._last is None or self._last[0] != seed:
            rows = np.arange(len(self._source))
            drawing = Drawing(self._source, self._split)
            train, validation = drawing.hold_out(rows, self._validation, derive_seed(seed, "validation"))
            dealt = Indices(train, validation, rows[:0])
            self._last = seed, Dataset(self._source, dealt, notes=()).training_data()
        return self._last[1]
