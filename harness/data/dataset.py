"""A task's samples in three parts, of which the test part stays behind one counting door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.data.examine import suspicions
from harness.data.fitting import fit_preprocessing
from harness.data.modalities import modalities, modality_of
from harness.data.part import Part
from harness.data.preprocessing import prepare
from harness.data.sources import read_source
from harness.data.sources.given import Given
from harness.data.sources.source import Source
from harness.data.splits import Indices, split_again, split_folds, split_samples
from harness.data.suspicion import Suspicion
from harness.data.training_data import TrainingData
from harness.errors import DataError
from harness.problems import problems
from harness.records import Target, TaskShape
from harness.spec.task import Split, TaskSpec


@dataclass
class _Door:
    """Counts how often the test samples were opened; shared by the data sets that have the same test samples."""

    opened: int = 0


def load(task: TaskSpec, *, seed: int, given: Given | None = None) -> Dataset:
    """Read, clean, split and preprocess the data of ``task``; the same data and seed of the split give the same set.

    ``given`` is the data of a task that has it from Python.
    Raises :class:`~harness.errors.DataError` when the data cannot be used as it is.
    """
    source = (read_source(task) if given is None else given.read(task)).asked_for(task.quantiles)
    return Dataset(source, split_samples(source, task.split, task.limit, seed))


class Dataset(TrainingData):
    """The parts of a task, preprocessed by what was fitted on ``train`` alone."""

    def __init__(
        self,
        source: Source,
        indices: Indices,
        door: _Door | None = None,
        notes: tuple[str, ...] | None = None,
        suspected: tuple[Suspicion, ...] = (),
    ) -> None:
        """``notes`` and ``suspected`` are those of the data set that this is made from; None: to be found out."""
        self._source = source
        self._indices = indices
        self._door = door or _Door()
        preprocessing = fit_preprocessing(source, indices.train)
        if notes is None:
            suspected = tuple(suspicions(source, indices))
            told = (f"{source.name}: {each.text}" for each in suspected)
            notes = (*source.notes, *told, *_of_fitting(source, preprocessing))
        self.suspected = suspected
        super().__init__(
            name=source.name,
            shape=_shape(source, preprocessing),
            fingerprint=source.fingerprint,
            notes=notes,
            preprocessing=preprocessing,
            train=_part(source, preprocessing, indices.train),
            validation=_part(source, preprocessing, indices.validation),
        )

    def training_data(self) -> TrainingData:
        """Return the data without the test samples, to be handed to whatever trains."""
        return TrainingData(**{field.name: getattr(self, field.name) for field in fields(TrainingData)})

    @property
    def test_size(self) -> int:
        """Number of test samples; looking at it opens nothing."""
        return len(self._indices.test)

    def check_tested(self, use: str) -> None:
        """Raise :class:`DataError` where there are no test samples, which ``use`` takes."""
        if not self.test_size:
            raise DataError(f"{self.name}: {use} takes test samples, and there are none; raise `split.test`")

    @property
    def test_opened(self) -> int:
        """How often the test samples were opened, through this data set or one made from it by ``for_refit``."""
        return self._door.opened

    @property
    def drawn_at_random(self) -> frozenset[str]:
        """Which of ``validation`` and ``test`` are drawn at random, so that they are like what is trained on."""
        source = self._source
        if source.order is not None:
            return frozenset()
        given = {"test": bool(source.official_test), "validation": False}
        if source.parts is not None:
            given = {"test": bool((source.parts == 2).any()), "validation": bool((source.parts == 1).any())}
        return frozenset(part for part, kept in given.items() if not kept)

    @property
    def grouped(self) -> bool:
        """Whether samples of one group stay in one part."""
        return self._source.groups is not None

    @property
    def split_index(self) -> Mapping[str, np.ndarray]:
        """int64 positions in the source of the samples of ``train``, ``validation`` and ``test``."""
        parts = {"train": self._indices.train, "validation": self._indices.validation, "test": self._indices.test}
        return {name: self._source.positions(rows) for name, rows in parts.items()}

    def open_test(self, preprocessing: Mapping[str, Any] | None = None) -> Part:
        """Return the test samples: the only door to them, and each opening counts.

        ``preprocessing`` is that of a model which was trained on another split of the samples to learn from.
        """
        self._door.opened += 1
        return _part(self._source, preprocessing or self.preprocessing, self._indices.test)

    def for_refit(self) -> Dataset:
        """Return the same data with train and validation joined in ``train``, refitted on both; same test samples."""
        return Dataset(self._source, self._indices.refit(), self._door, self.notes, self.suspected)

    def for_all(self) -> Dataset:
        """Return the same data with all samples in ``train``, refitted on them: this opens the test samples.

        There is nothing left to measure on.
        """
        self._door.opened += 1
        return Dataset(self._source, self._indices.all(), self._door, self.notes, self.suspected)

    def folds(self, split: Split, count: int) -> tuple[Dataset, ...]:
        """Return the data of each fold: another one is its validation part, and all else it may train on.

        Of stretches of time that is all that comes before it.
        """
        dealt = split_folds(self._source, split, self._indices, count)
        rolls = f"{self.name}: {count} folds roll forward: each validates on one horizon and trains on what is before"
        notes = (*self.notes, f"{rolls}; the last ends at the test part") if self._source.in_time else self.notes
        return tuple(Dataset(self._source, indices, self._door, notes, self.suspected) for indices in dealt)

    def to_learn_from(self, split: Split, seeds: Iterable[int]) -> tuple[Source, dict[int, Indices]]:
        """Return all but the test samples as a source of their own, and how they are split with each of the seeds."""
        rows = self._indices.refit().train
        dealt = split_again(self._source, split, self._indices, seeds)
        return self._source.only(rows), {seed: indices.among(rows) for seed, indices in dealt.items()}

    def with_split(self, split: Split, seed: int) -> Dataset:
        """Return the same data with training and validation samples as a seed splits them; same test samples."""
        indices = split_again(self._source, split, self._indices, (seed,))[seed]
        return Dataset(self._source, indices, self._door, self.notes, self.suspected)

    def true_targets(self, part: Literal["train", "validation", "test"]) -> np.ndarray:
        """Return class codes, or float64 values as they were read; those of ``test`` only once it was opened."""
        assert part != "test" or self._door.opened, "the test samples were not opened"
        targets: np.ndarray = self._source.targets[getattr(self._indices, part)]
        return targets

    def describe_test(self) -> pd.DataFrame:
        """Return what the samples of :meth:`open_test` are called and what is right, one row each in their order.

        ``index`` is the position in the file (of its own file for a test file), ``row`` the file's own row label and
        ``file`` the picture's, where there are any; ``target`` is the class code with ``target_name``, or the value
        as it was read.
        """
        source, rows = self._source, self._indices.test
        columns: dict[str, Any] = {"index": source.positions(rows)}
        if source.labels is not None:
            columns["row"] = source.labels[rows]
        if source.files:
            columns["file"] = np.array(source.files, dtype=object)[rows]
        columns |= problems[source.kind].target_columns(self.true_targets("test"), source.value_names)
        columns |= modality_of(source.inputs).described(source.inputs, rows)
        if source.class_names:
            columns["target_name"] = np.array(source.class_names, dtype=object)[source.targets[rows]]
        return pd.DataFrame(columns)

    def raw_test(self, places: np.ndarray) -> Any:
        """Return some samples of :meth:`open_test` as they were read: images ``x_NCHW``, or rows of a table."""
        assert self._door.opened, "the test samples were not opened"
        return _rows(self._source, self._indices.test[places])

    def raw_to_learn_from(self, train: np.ndarray, validation: np.ndarray) -> Any:
        """Return some training samples as they were read, and behind them some validation samples, by their places."""
        rows = (self._indices.train[train], self._indices.validation[validation])
        return _rows(self._source, np.concatenate(rows))

    def raw_validation(self) -> Any:
        """Return the validation samples as they were read."""
        return _rows(self._source, self._indices.validation)

    def beyond_training(self) -> dict[str, int]:
        """Return how many test values of each column are clipped, since training never went so far."""
        raw = self._source.inputs
        return modality_of(raw).beyond_training(self.preprocessing, raw, self._indices.test)


def _rows(source: Source, rows: np.ndarray) -> Any:
    return modality_of(source.inputs).take(source.inputs, rows, source.name)


def _part(source: Source, preprocessing: Mapping[str, Any], rows: np.ndarray) -> Part:
    targets, exact = source.targets[rows], None
    if not source.class_names:
        learned = problems[source.kind].learned(targets, _target(source, preprocessing["target"]))
        exact, targets = targets, learned.astype(np.float32)
    part = prepare(preprocessing, _rows(source, rows), targets, source.positions(rows))
    return replace(part, exact=exact)


def _of_fitting(source: Source, preprocessing: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what is to be told of what was fitted."""
    remarks = modality_of(source.inputs).remarks(preprocessing)
    return tuple(f"{source.name}: {remark}" for remark in remarks)


def _shape(source: Source, preprocessing: Mapping[str, Any]) -> TaskShape:
    target = _target(source, preprocessing["target"])
    outputs = len(source.class_names) or len(target.centre)
    inputs = modalities[preprocessing["inputs"]].inputs(preprocessing)
    return TaskShape(kind=source.kind, outputs=outputs, target=target, inputs=inputs)


def _target(source: Source, fitted: Mapping[str, Any]) -> Target:
    if source.class_names:
        return Target(names=source.class_names, dtype="int64", centre=(), scale=())
    centre, scale = (tuple(np.ravel(fitted[name]).tolist()) for name in ("mean", "scale"))
    return Target(
        names=source.value_names,
        shape=source.targets.shape[1:],
        centre=centre,
        scale=scale,
        log=fitted.get("log", False),
        quantiles=tuple(fitted.get("quantiles", ())),
        season=fitted.get("season", 0),
    )
