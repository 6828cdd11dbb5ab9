"""Forms of tasks whose samples are time series in files: ``.ts``, and CSV with a row for each series or each step."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.spec.base import Frozen
from harness.spec.task import DataPath, Kind, TaskSpec, Words, source


class TsFile(Frozen):
    """One more file."""

    ts: DataPath


@source
class TsTask(TaskSpec):
    """Time series in a ``.ts`` file, as the archives at timeseriesclassification.com have them.

    ``kind: auto`` takes targets for what the file says they are: classes below ``@classLabel``, values below
    ``@targetLabel``.
    """

    source: ClassVar[str] = "ts"

    ts: DataPath
    test: TsFile | None = None
    """A file whose series are the test part."""
    kind: Kind = "auto"


class SeriesFile(Frozen):
    """One more CSV file."""

    series: DataPath


@source
class SeriesTask(TaskSpec):
    """Time series in a CSV file: a row for each series, or where ``id`` is given a row for each step."""

    source: ClassVar[str] = "series"

    series: DataPath
    target: str
    """The column to predict; of a series with several rows it is the same in all of them."""
    test: SeriesFile | None = None
    """A file with the same columns whose series are the test part."""
    kind: Kind = "auto"
    id: str | None = None
    """A column that says to which series a row belongs."""
    time: str | None = None
    """A column of numbers or dates by which the rows of a series are put in order; without it they stand in order."""
    columns: str | tuple[str, ...] = ()
    """The steps of a series, or with ``id`` its channels: what the names of columns begin with, or the names; without
    it all columns that serve nothing else."""
    drop: tuple[str, ...] = ()
    """Columns to ignore."""
    missing: Words = ()
    """Texts that stand for a missing value beside the empty field."""
    decimal: Literal[".", ","] = "."
    """The decimal mark."""
    separator: Annotated[str, Field(max_length=1)] = ""
    """What stands between two values; "" finds it among comma, semicolon, tab and bar."""

    @model_validator(mode="after")
    def _time_is_of_rows(self) -> SeriesTask:
        if self.time is not None and self.id is None:
            raise ValueError("time orders the rows of a series: say with id which series a row belongs to")
        return self
