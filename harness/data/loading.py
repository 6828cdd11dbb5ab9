"""From a task to its data set."""

from __future__ import annotations

from harness.data.dataset import Dataset
from harness.data.sources import read_source
from harness.data.sources.given import Given
from harness.data.splits import split_samples
from harness.spec.task import TaskSpec


def load(task: TaskSpec, *, seed: int, given: Given | None = None) -> Dataset:
    """Read, clean, split and preprocess the data of ``task``; the same data and seed of the split give the same set.

    ``given`` is the data of a task that has it from Python.
    Raises :class:`~harness.errors.DataError` when the data cannot be used as it is.
    """
    source = read_source(task) if given is None else given.read(task)
    return Dataset(source, split_samples(source, task.split, task.limit, seed))
