"""From a task to its data set."""

from __future__ import annotations

from harness.data.dataset import Dataset
from harness.data.sources.arrays import read_npz
from harness.data.sources.builtin import read_builtin
from harness.data.sources.image_folder import read_image_folder
from harness.data.sources.source import Source
from harness.data.sources.tables import read_table
from harness.data.splits import split_samples
from harness.spec.task import BuiltinTask, ImagesTask, NpzTask, TaskSpec


def load(task: TaskSpec, *, seed: int) -> Dataset:
    """Read, clean, split and preprocess the data of ``task``; the same data and seed of the split give the same set.

    Raises :class:`~harness.errors.DataError` when the data cannot be used as it is.
    """
    source = _read(task)
    return Dataset(source, split_samples(source, task.split, task.limit, seed))


def _read(task: TaskSpec) -> Source:
    if isinstance(task, BuiltinTask):
        return read_builtin(task)
    if isinstance(task, NpzTask):
        return read_npz(task)
    if isinstance(task, ImagesTask):
        return read_image_folder(task)
    return read_table(task)
