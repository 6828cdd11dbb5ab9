"""The samples that may be learned from, split into training and validation samples anew for each seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from harness.data.dataset import Dataset
from harness.data.training_data import TrainingData
from harness.spec.task import Split


class Learning:
    """Training and validation samples together, without the test samples, so that it can be sent to what trains.

    Which samples are validation is drawn beforehand; the samples of a split are put together when they are needed, and
    only those of the last one are kept.
    """

    def __init__(self, dataset: Dataset, split: Split, seeds: Iterable[int]) -> None:
        """Raises :class:`DataError` when a part would lack a class with one of the seeds."""
        self._source, self._dealt = dataset.to_learn_from(split, seeds)
        self._last: tuple[int, TrainingData] | None = None

    def under(self, seed: int) -> TrainingData:
        """Return the samples as they are split with a seed; what is fitted is fitted on its training samples."""
        if self._last is None or self._last[0] != seed:
            self._last = None  # before there is another one
            self._last = seed, Dataset(self._source, self._dealt[seed], notes=()).training_data()
        return self._last[1]

    @property
    def validation_index(self) -> Mapping[int, np.ndarray]:
        """int64 positions in the source of the validation samples, by the seed."""
        return {seed: self._source.positions(indices.validation) for seed, indices in self._dealt.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell where other seeds do not give another split."""
        first, *others = (indices.validation for indices in self._dealt.values())
        if not others or not all(np.array_equal(first, other) for other in others):
            return ()
        ordered = self._source.order is not None
        why = "its samples have an order" if ordered else "it comes with validation samples of its own"
        return (
            f"{self._source.name}: every seed has the same training and validation samples, since {why}; "
            "seeds vary the weights and the order of the batches alone",
        )
