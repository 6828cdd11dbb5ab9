"""``task:`` names the data, the target and the kind of problem.

Each form that it may take is a model in the registry ``sources``, under the key that says where the data is. What reads
it is registered on the floor above, with :func:`harness.data.sources.source.read_source`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from harness.errors import did_you_mean
from harness.problems import problems
from harness.records import TaskKind
from harness.registry import Registry
from harness.spec.base import Frozen, OneOf
from harness.spec.names import TASKS
from harness.spec.text_reading import Encoding, TextReading

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
_KINDS = OneOf(lambda: ["auto", *problems])
Kind = Annotated[str, BeforeValidator(_KINDS.check), Field(json_schema_extra=_KINDS.describe)]
"""The name of a problem; ``auto``: classification or regression, as the targets say."""


def _ascending(levels: tuple[float, ...]) -> tuple[float, ...]:
    if any(after <= before for before, after in pairwise(levels)):
        raise ValueError("name quantiles in ascending order, each once, such as [0.1, 0.5, 0.9]")
    return levels


Quantiles = Annotated[tuple[Fraction, ...], AfterValidator(_ascending)]
"""Shares of the values that are to lie below what is predicted."""


class Split(Frozen):
    """Shares of the samples held out; what a data set itself sets apart is kept, and its share here ignored."""

    validation: Fraction = 0.15
    test: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """0: no test part; the final model is made and not scored."""
    group: str | None = None
    """Column of a table whose rows with one value stay in one part, such as a person's."""
    order: str | None = None
    """Column of a table, numbers or dates: the last rows by it are the test part, those before them validation."""
    duplicates: Literal["anywhere", "together"] = "anywhere"
    """``together`` keeps samples with identical inputs in one part."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Draws the parts: searches with other seeds of their own are measured on the same samples."""

    @model_validator(mode="after")
    def _fits_together(self) -> Split:
        if self.validation + self.test > 0.9:
            raise ValueError("validation and test together may take at most 0.9 of the data")
        if self.order is not None and (self.group is not None or self.duplicates == "together"):
            other = "group" if self.group is not None else "duplicates: together"
            raise ValueError(f"order and {other} exclude each other: rows in order cannot also be kept together")
        return self


def _changed(path: Path, info: ValidationInfo) -> Path:
    change: Callable[[Path], Path] | None = info.context
    return path if change is None else change(path)


DataPath = Annotated[Path, AfterValidator(_changed)]
"""Where data lies. Validation passes each such path through its ``context``, a function, whatever the field is called
and however deep it lies: so are relative ones resolved, and so can all be found or replaced."""


class TaskSpec(Frozen):
    """What every task may say beside where its data is; the base of its forms.

    >>> class RowsTask(TaskSpec):
    ...     source: ClassVar[str] = "rows"
    ...     rows: int
    >>> RowsTask(rows=100, limit=50).label
    '100'
    """

    source: ClassVar[str]
    """The key that says where the data is, by which the form is known."""
    later: ClassVar[frozenset[str]] = frozenset({"quantiles"})
    """Keys that were added to the form later: it is written without those that have their default, so that the hash of
    a space is what it was before."""

    split: Split = Split()
    limit: Annotated[int, Field(ge=10)] | None = None
    """At most so many samples for training and validation, drawn by the split's seed; the test part stays whole."""
    quantiles: Quantiles = ()
    """Predict these quantiles of a number, instead of the number itself."""

    @model_validator(mode="after")
    def _quantiles_of_a_number(self) -> TaskSpec:
        kind = getattr(self, "kind", "auto")
        if self.quantiles and kind not in ("auto", TaskKind.REGRESSION, TaskKind.QUANTILE_REGRESSION):
            raise ValueError(f"quantiles are of a number, and `kind` is {kind}; leave out one of both")
        if kind == TaskKind.QUANTILE_REGRESSION and not self.quantiles:
            raise ValueError("kind: quantile-regression takes `quantiles`, such as [0.1, 0.5, 0.9]; name them")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        usual = {name for name in self.later if getattr(self, name) == fields[name].default}
        return {name: value for name, value in data.items() if name not in usual}

    @property
    def label(self) -> str:
        """What to call the task: the built-in's name, or the file or folder."""
        return Path(str(getattr(self, self.source))).stem


sources: Registry[type[TaskSpec]] = Registry("source")
"""The forms of a task by their key."""

Form = TypeVar("Form", bound=type[TaskSpec])


def source(form: Form) -> Form:
    """Register a form of tasks, under the key that says where its data is.

    >>> @source
    ... class NoiseTask(TaskSpec):
    ...     source: ClassVar[str] = "noise"
    ...     noise: int
    >>> parse_task({"noise": 100}).label
    '100'
    """
    sources.add(form.source, form)
    return form


@source
class BuiltinTask(TaskSpec):
    """A data set that harness knows by name (``harness tasks`` lists them)."""

    source: ClassVar[str] = "builtin"
    later: ClassVar[frozenset[str]] = TaskSpec.later | {"directory"}

    builtin: str
    directory: DataPath | None = None
    """Where its files are, for those that are read from files."""

    @model_validator(mode="after")
    def _known(self) -> BuiltinTask:
        if self.builtin not in TASKS:
            raise ValueError(f"unknown task {self.builtin!r}{did_you_mean(self.builtin, TASKS)}")
        return self


def _as_words(value: object) -> object:
    """Take numbers as the texts that stand for them: ``missing: [-999]``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


Words = tuple[Annotated[str, BeforeValidator(_as_words, json_schema_input_type=str | int | float)], ...]


class TableTask(TextReading, TaskSpec):
    """What every table may say beside where it is."""

    later: ClassVar[frozenset[str]] = TaskSpec.later | {"text", "classes", *TextReading.model_fields}

    target: str | Annotated[tuple[str, ...], Field(min_length=2)]
    """The column to predict, or several: values, or labels where ``kind: multilabel``."""
    text: str | None = None
    """Column of texts to learn from, and from it alone; the other keys of texts say how."""
    kind: Kind = "auto"
    classes: Words = ()
    """The classes from low to high, where ``kind`` is ordinal and they are not numbers."""
    drop: tuple[str, ...] = ()
    """Columns to ignore."""
    categorical: tuple[str, ...] = ()
    """Columns to treat as categories although they hold numbers or dates."""
    dates: Annotated[
        dict[str, str | None],
        BeforeValidator(
            lambda names: _named(names, default=None), json_schema_input_type=dict[str, str | None] | list[str]
        ),
    ] = {}
    """Columns of dates to learn from, by name or with a format such as ``%d/%m/%Y``."""
    missing: Words | dict[str, Words] = ()
    """Texts that stand for a missing value beside the empty field, in every column or by column."""
    decimal: Literal["", ".", ","] = ""
    """The decimal mark of numbers written as text; "" finds it."""
    thousands: Literal["", ",", ".", " ", "'"] = ""
    """What separates thousands in numbers written as text; "" finds it."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def stand_for_missing(self, column: str) -> Words:
        """Return the texts that mean a missing value in a column."""
        return self.missing.get(column, ()) if isinstance(self.missing, dict) else self.missing

    @model_validator(mode="after")
    def _targets_differ(self) -> TableTask:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("target names a column twice; name each once")
        if self.quantiles and len(self.targets) > 1:
            raise ValueError(f"quantiles are of one number, and target names {len(self.targets)}; name one")
        return self

    @model_validator(mode="after")
    def _classes_are_ordered(self) -> TableTask:
        if self.classes and (self.kind == "auto" or not problems[self.kind].ordered):
            raise ValueError("classes lists them from low to high, for `kind: ordinal`; leave it out")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes lists one twice; list each once")
        return self

    @model_validator(mode="after")
    def _marks_differ(self) -> TableTask:
        if self.decimal and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; they must differ")
        return self

    @model_validator(mode="after")
    def _names_its_texts(self) -> TableTask:
        said = sorted(self.model_fields_set & {*TextReading.model_fields})
        if said and self.text is None:
            raise ValueError(f"{said[0]} says how texts are read; name their column: `text: COLUMN`")
        return self


def _named(value: object, *, default: object) -> object:
    """Accept a list of names where a mapping from names is meant."""
    return dict.fromkeys(value, default) if isinstance(value, list | tuple) else value


class CsvFile(Frozen):
    """One more CSV file."""

    csv: DataPath


class ParquetFile(Frozen):
    """One more Parquet file."""

    parquet: DataPath


class JsonlFile(Frozen):
    """One more file of JSON lines."""

    jsonl: DataPath


@source
class CsvTask(TableTask):
    """A table in a CSV file with a header line."""

    source: ClassVar[str] = "csv"
    later: ClassVar[frozenset[str]] = TableTask.later | {"encoding"}

    csv: DataPath
    test: CsvFile | None = None
    """A file with the same columns whose rows are the test part."""
    separator: Annotated[str, Field(max_length=1)] = ""
    """What stands between two values; "" finds it among comma, semicolon, tab and bar."""
    encoding: Encoding = "utf-8"


@source
class ParquetTask(TableTask):
    """A table in a Parquet file."""

    source: ClassVar[str] = "parquet"

    parquet: DataPath
    test: ParquetFile | None = None
    """A file with the same columns whose rows are the test part."""


@source
class JsonlTask(TableTask):
    """A table in a file of JSON lines: an object in each line, whose keys are the columns."""

    source: ClassVar[str] = "jsonl"

    jsonl: DataPath
    test: JsonlFile | None = None
    """A file with the same keys whose objects are the test part."""
    encoding: Encoding = "utf-8"


@source
class FrameTask(TableTask):
    """A table given from Python, under a name of its own: ``harness.search(space, data=frame, target=...)``."""

    source: ClassVar[str] = "frame"

    frame: str


class ArraysOf(TaskSpec):
    """What arrays may say beside where they are."""

    as_: Annotated[Literal["series"] | None, Field(alias="as")] = None
    """``series``: N x T or N x T x C are N time series of T steps and C channels."""

    @model_serializer(mode="wrap")
    def _by_its_key(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Name the key as users do, and leave it out where it says nothing, so that a space's hash is what it was."""
        data = self._as_before(handler)
        said = data.pop("as_")
        return data if said is None else {**data, "as": said}


@source
class ArraysTask(ArraysOf):
    """Arrays given from Python, under a name of their own; as those of an NPZ file."""

    source: ClassVar[str] = "arrays"

    arrays: str
    kind: Kind = "auto"


@source
class NpzTask(ArraysOf):
    """Arrays in an NPZ file: N x F is a table, N x H x W or N x C x H x W are images, unless ``as`` says otherwise.

    Of series an array ``lengths`` may say how many steps each has.
    """

    source: ClassVar[str] = "npz"

    npz: DataPath
    inputs: str = "x"
    targets: str = "y"
    kind: Kind = "auto"


def _ground(value: object) -> object:
    """Bring a colour to a name or three levels; a message of ours instead of one for each form that did not fit."""
    if isinstance(value, str):
        if value in ("auto", "white", "black"):
            return value
        if re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            return tuple(bytes.fromhex(value[1:]))
    levels = range(256)
    if isinstance(value, list | tuple) and len(value) == 3 and all(type(x) is int and x in levels for x in value):
        return tuple(value)
    hint = "; an unquoted # starts a comment" if value is None else ""
    raise ValueError(f'expected auto, white, black, [r, g, b] with levels 0 to 255, or "#rrggbb" in quotes{hint}')


Side = Annotated[int, Field(ge=4, le=1024)]
"""Pixels."""
Level = Annotated[int, Field(ge=0, le=255)]
Ground = Annotated[
    Literal["auto", "white", "black"] | tuple[Level, Level, Level],
    BeforeValidator(
        _ground, json_schema_input_type=Literal["auto", "white", "black"] | tuple[Level, Level, Level] | str
    ),
]


@source
class ImagesTask(TaskSpec):
    """A folder with one sub-folder of images per class, or with such folders below train, val and test."""

    source: ClassVar[str] = "images"

    images: DataPath
    size: tuple[Side, Side] = (32, 32)
    """Height and width to which every image is resized."""
    channels: Literal[1, 3] = 3
    background: Ground = "auto"
    """What shows through transparent pixels: one colour for all images; ``auto`` is white below dark shapes, black
    below light ones."""

    @field_validator("size", mode="before", json_schema_input_type=Side | tuple[Side, Side])
    @classmethod
    def _square(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value


@source
class ForecastTask(TaskSpec):
    """Series in a CSV or Parquet file whose next values are predicted from those before."""

    source: ClassVar[str] = "forecast"
    later: ClassVar[frozenset[str]] = frozenset()

    forecast: DataPath
    time: str
    """Column of dates or numbers at equal distances."""
    target: str
    horizon: Annotated[int, Field(ge=1, le=10_000)]
    """Steps to predict at once, from the next one on."""
    group: str | None = None
    """Column that tells several series of one file apart."""
    window: Literal["auto"] | Annotated[int, Field(ge=2, le=100_000)] = "auto"
    """Steps that a model looks back on; ``auto``: two seasons, and at least the horizon."""
    past: tuple[str, ...] = ()
    """Columns of numbers whose past is learnt from."""
    known: tuple[str, ...] = ()
    """Columns of numbers that are known ahead, such as prices or holidays, whose future is learnt from as well."""
    season: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = "auto"
    """Steps after which the series resembles itself; ``auto``: as the distance of the times says, 12 of months."""
    transform: Literal["none", "log"] = "none"
    """``log``: learn logarithms, of values above 0 whose ups and downs grow with them."""
    quantiles: Quantiles = ()
    """Predict these beside the median."""
    origins: Annotated[int, Field(ge=1, le=1000)] = 1
    """The test part are so many horizons at the end of each series, each predicted from what is before it."""
    format: str | None = None
    """The format of the dates, such as ``%d/%m/%Y``, where it cannot be seen."""
    missing: Words = ()
    """Texts that stand for a missing value beside the empty field."""
    separator: Annotated[str, Field(max_length=1)] = ""
    """What stands between two values of a CSV file; "" finds it."""

    @field_validator("quantiles")
    @classmethod
    def _in_order(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        found = sorted({*value, 0.5}) if value else []
        if found and (len(found) % 2 == 0 or found[len(found) // 2] != 0.5):
            raise ValueError("name as many quantiles below 0.5 as above, such as [0.1, 0.5, 0.9]")
        return tuple(found)

    @model_validator(mode="after")
    def _fits_together(self) -> ForecastTask:
        named = [self.time, self.target, *self.past, *self.known, *([] if self.group is None else [self.group])]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise ValueError(f"column {twice!r} is named twice; each has one part in a forecast")
        for key in ("group", "order"):
            if getattr(self.split, key) is not None:
                raise ValueError(f"split.{key}: the parts of a forecast follow each other in time; leave it out")
        if self.known and isinstance(self.window, int) and self.window < self.horizon:
            raise ValueError(
                f"window ({self.window}) is shorter than horizon ({self.horizon}), which columns that are known ahead"
                " need; raise it"
            )
        return self


@source
class TextsTask(TextReading, TaskSpec):
    """A folder with one sub-folder of text files per class, or with such folders below train, val and test."""

    source: ClassVar[str] = "texts"

    texts: DataPath
    encoding: Encoding = "utf-8"


def form_of(value: object) -> tuple[type[TaskSpec], Mapping[str, Any]]:
    """Return the form of a task, a built-in's name or a mapping with one of the keys of ``sources``, and its fields.

    Raises ValueError where it is neither.
    """
    if isinstance(value, str):
        return BuiltinTask, {"builtin": value}
    if not isinstance(value, Mapping):
        raise ValueError(f"expected the name of a task, or a mapping with one of {', '.join(sources)}")
    named = [key for key in value if key in sources]
    if len(named) != 1:
        hint = "".join(did_you_mean(str(key), sources) for key in list(value)[:1]) if not named else ""
        raise ValueError(f"expected exactly one of {', '.join(sources)}{hint}")
    return sources[named[0]], value


def parse_task(value: object) -> TaskSpec:
    """Build the task that a space file names. Raises ValueError."""
    if isinstance(value, TaskSpec):
        return value
    form, fields = form_of(value)
    return form.model_validate(fields)
