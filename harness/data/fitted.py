"""The form of fitted preprocessing, which is plain data: what a received ``preprocessing.json`` must be to be used."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Discriminator, Field, TypeAdapter
from typing_extensions import TypedDict

from harness.data.columns import ColumnReading
from harness.spec.task import Ground


class Number(TypedDict):
    """A column of numbers, or a number of a date's calendar; the ends and quantiles are of the standardised values."""

    column: str
    median: float
    mean: float
    scale: float
    low: NotRequired[float]
    high: NotRequired[float]
    quantiles: NotRequired[list[float]]


class Categories(TypedDict):
    """A column of categories, in the order of their codes from 1."""

    column: str
    categories: list[str]


class Dates(TypedDict):
    """A column of dates, and the first of them in training."""

    column: str
    first: str


class Target(TypedDict):
    """What is predicted: classes in the order of their codes, or values, of which there may be several."""

    name: NotRequired[str]
    classes: NotRequired[list[str]]
    mean: NotRequired[float | list[float]]
    scale: NotRequired[float | list[float]]


class Table(TypedDict):
    """Of a table. ``columns`` are all in their order, ``reading`` is how those that are learnt from were read.

    ``array`` is what they were called in a file of arrays, ``separator`` what the task says of its CSV file.
    """

    inputs: Literal["table"]
    columns: list[str]
    dates: NotRequired[list[Dates]]
    numeric: list[Number]
    categorical: list[Categories]
    left_out: NotRequired[list[str]]
    array: NotRequired[str]
    separator: NotRequired[Annotated[str, Field(max_length=1)]]
    reading: NotRequired[dict[str, ColumnReading]]
    target: Target


class Files(TypedDict, total=False):
    """What image files are read with; empty where the data were arrays."""

    size: tuple[int, int]
    channels: Literal[1, 3]
    background: Ground


class Images(TypedDict):
    """Of images, whose shape is (channels, height, width)."""

    inputs: Literal["image"]
    image: tuple[int, int, int]
    dtype: NotRequired[Literal["uint8", "float32"]]
    mean: list[float]
    std: list[float]
    patches: NotRequired[list[list[float]]]
    array: NotRequired[str]
    reading: NotRequired[Files]
    target: Target


_FITTED: TypeAdapter[Table | Images] = TypeAdapter(Annotated[Table | Images, Discriminator("inputs")])


def check_preprocessing(value: object) -> None:
    """Raise pydantic's ValidationError, a ValueError, unless ``value`` is what ``fit_preprocessing`` returns."""
    _FITTED.validate_python(value)
