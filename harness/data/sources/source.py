"""What every reader returns: samples as they were read, before any split or fitting; and how a task finds that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np

from harness.data.modality import modality_of
from harness.errors import DataError, InputError
from harness.problems import problems
from harness.records import TaskKind
from harness.spec.task import TaskSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """All samples of a task in memory, cleaned but not yet transformed.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"area": [31.0, 54.0]})
    >>> source = Source(name="flats", inputs=frame, targets=np.array([90.0, 170.0]), fingerprint="0" * 64)
    >>> source.kind, len(source)
    (<TaskKind.REGRESSION: 'regression'>, 2)
    """

    name: str
    inputs: Any
    """As its :class:`~harness.data.modality.Modality` holds them: images ``x_NCHW`` as uint8 or float32; or a table
    whose columns hold float64 numbers, datetime64 or text."""
    targets: np.ndarray
    """int64 codes (N,) into ``class_names``, or float64 values (N,) or (N, V)."""
    class_names: tuple[str, ...] = ()
    """Empty for regression."""
    value_names: tuple[str, ...] = ()
    """Of several values; empty for a single one."""
    target: str = "target"
    """What the targets are called."""
    fingerprint: str
    """sha256 of what was read, as hex."""
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """int64 (N,): where each sample stands in what was read; empty when nothing was left out."""
    labels: np.ndarray | None = None
    """Text (N,): what the file itself calls each row, where it has row labels."""
    groups: np.ndarray | None = None
    """(N,): samples of one group stay in one part."""
    order: np.ndarray | None = None
    """float64 (N,): the last samples by it are the test part."""
    array: str = ""
    """What the inputs are called in a file of arrays; empty where they are no arrays."""
    separator: str = ""
    """What stands between two values of a CSV file, where the task says so; empty where it is found."""
    encoding: str = ""
    """How the bytes of a file of text stand for characters; empty for UTF-8 and where there are none."""
    columns: tuple[str, ...] = ()
    """Columns of a table before constant and id-like ones were dropped, in order."""
    files: tuple[str, ...] = ()
    """Names of the picture files, relative to the folder, one per sample."""
    parts: np.ndarray | None = None
    """int8 (N,): 0 train, 1 validation, 2 test, where the data itself says which part a sample is in; 3 and 4 overlap
    with validation and with test."""
    in_time: bool = False
    """Whether samples are stretches of time, which overlap."""
    official_test: int = 0
    """So many of the last samples are the official test set."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able, how new samples are read alike: a ``ColumnReading`` by column, or what image files are read with."""
    notes: tuple[str, ...] = ()
    problem: str = "auto"
    """As the task names it."""
    quantiles: tuple[float, ...] = ()
    """The quantiles that are predicted of a number, ascending; empty: the number itself, or what the inputs say."""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def kind(self) -> str:
        """The name of its problem: where the task names none, classification if there are classes."""
        if self.problem != "auto":
            return self.problem
        return TaskKind.CLASSIFICATION if self.class_names else TaskKind.REGRESSION

    @property
    def strata(self) -> np.ndarray | None:
        """int64 (N,): what each part gets its share of when parts are drawn, the classes; None where there are none."""
        return self.targets if problems[self.kind].stratified else None

    def positions(self, chosen: np.ndarray) -> np.ndarray:
        """Translate sample numbers into positions in what was read."""
        return self.rows[chosen] if len(self.rows) else chosen

    def asked_for(self, quantiles: tuple[float, ...]) -> Source:
        """Return the source of a task that asks for quantiles of its targets. Raises :class:`DataError`.

        What says itself of which quantiles it is, as series that go on do, is returned as it is.
        """
        if not quantiles or problems[self.kind].continues:
            return self
        if self.class_names:
            raise DataError(
                f"{self.name}: its targets are {len(self.class_names)} classes, and quantiles are of a number: leave"
                " out `quantiles`, or say `kind: regression` where the classes are amounts"
            )
        if self.targets.ndim > 1:
            raise DataError(
                f"{self.name}: has {self.targets.shape[1]} values to predict of each sample, and quantiles are of one"
                " number; give one, or leave out `quantiles`"
            )
        return replace(self, quantiles=quantiles, problem=TaskKind.QUANTILE_REGRESSION)

    def only(self, chosen: np.ndarray) -> Source:
        """Return some of the samples as a source of their own, with their positions in what was read."""
        return replace(
            self,
            inputs=modality_of(self.inputs).take(self.inputs, chosen, self.name),
            targets=self.targets[chosen],
            rows=self.positions(chosen),
            labels=None if self.labels is None else self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            order=None if self.order is None else self.order[chosen],
            files=tuple(self.files[row] for row in chosen) if self.files else (),
            parts=None,
            official_test=0,
        )


@singledispatch
def read_source(task: TaskSpec) -> Source:
    """Read the data of a task; each form of tasks has a reader, registered with ``@read_source.register``.

    Raises :class:`~harness.errors.DataError` when the data cannot be used as it is.

    >>> from harness.data.sources.arrays import read_arrays
    >>> from harness.spec.task import ArraysTask
    >>> class RowsTask(TaskSpec):
    ...     rows: int
    >>> @read_source.register
    ... def read(task: RowsTask) -> Source:
    ...     inputs = np.arange(2.0 * task.rows).reshape(-1, 2)
    ...     return read_arrays(inputs, inputs.sum(axis=1), ArraysTask(arrays="rows"), "rows", "rows")
    >>> len(read_source(RowsTask(rows=30)))
    30
    """
    raise InputError(f"task.{task.source}: nothing reads this form; register a reader with `@read_source.register`")
