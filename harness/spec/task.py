"""``task:`` names the data, the target and the kind of problem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import did_you_mean
from harness.spec.base import Frozen

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Kind = Literal["auto", "classification", "regression"]


class Split(Frozen):
    """Shares of the samples held out; a data set with an official test set keeps it and ignores ``test``."""

    validation: Fraction = 0.15
    test: Fraction = 0.15

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Split:
        if self.validation + self.test > 0.9:
            raise ValueError("validation and test together may take at most 0.9 of the data")
        return self


class _Task(Frozen):
    """What every task may say beside where its data is."""

    source: ClassVar[str]

    split: Split = Split()
    limit: Annotated[int, Field(ge=10)] | None = None
    """Use at most this many samples for training and validation, drawn from the seed; the test set stays whole."""

    @property
    def label(self) -> str:
        """What to call the task: the built-in's name, or the file or folder."""
        return Path(str(getattr(self, self.source))).stem


class BuiltinTask(_Task):
    """A data set that harness knows by name (``harness tasks`` lists them)."""

    source: ClassVar[str] = "builtin"

    builtin: str
    directory: Path | None = None
    """Where its files are, for those that are read from files."""


class _Table(_Task):
    target: str
    kind: Kind = "auto"
    drop: tuple[str, ...] = ()
    """Columns to ignore."""
    categorical: tuple[str, ...] = ()
    """Columns to treat as categories although they hold numbers."""


class CsvTask(_Table):
    """A table in a CSV file with a header line."""

    source: ClassVar[str] = "csv"

    csv: Path


class ParquetTask(_Table):
    """A table in a Parquet file."""

    source: ClassVar[str] = "parquet"

    parquet: Path


class NpzTask(_Task):
    """Arrays in an NPZ file: N x F is a table, N x H x W or N x C x H x W are images."""

    source: ClassVar[str] = "npz"

    npz: Path
    inputs: str = "x"
    targets: str = "y"
    kind: Kind = "auto"


class ImagesTask(_Task):
    """A folder with one sub-folder of images per class."""

    source: ClassVar[str] = "images"

    images: Path
    size: tuple[Annotated[int, Field(ge=4, le=1024)], Annotated[int, Field(ge=4, le=1024)]] = (32, 32)
    """Height and width to which every image is resized."""
    channels: Literal[1, 3] = 3

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value


TaskSpec = BuiltinTask | CsvTask | ParquetTask | NpzTask | ImagesTask
TASK_TYPES = (BuiltinTask, CsvTask, ParquetTask, NpzTask, ImagesTask)


def parse_task(value: object) -> TaskSpec:
    """Build the task that a space file names: a built-in's name, or a mapping with one of the source keys."""
    if isinstance(value, TASK_TYPES):
        return value
    if isinstance(value, str):
        return BuiltinTask(builtin=value)
    sources = {kind.source: kind for kind in TASK_TYPES}
    if not isinstance(value, Mapping):
        raise ValueError(f"expected the name of a task, or a mapping with one of {', '.join(sources)}")
    named = [key for key in value if key in sources]
    if len(named) != 1:
        hint = "".join(did_you_mean(str(key), sources) for key in list(value)[:1]) if not named else ""
        raise ValueError(f"expected exactly one of {', '.join(sources)}{hint}")
    fields: Mapping[str, Any] = value
    return sources[named[0]].model_validate(fields)
