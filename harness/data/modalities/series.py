"""Time series: float32 ``x_NTC``, standardised per channel, and where lengths differ a mask of their steps.

Missing values are interpolated along the series. All are padded with zeros behind their end to the length of the
longest in training; a new one that is longer is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NotRequired

import numpy as np
import pandas as pd
from pydantic import Field
from typing_extensions import TypedDict, override

from harness.data.features import Fault, Features, Outline, block_means
from harness.data.fitted import Target
from harness.data.modalities.raw import as_array, codes_of_equal
from harness.data.modality import Modality, Prepared
from harness.data.reread import Unlike
from harness.data.room import rows_of
from harness.data.series import Series, check_series, filled, of_array, packed
from harness.data.sources.series_table import SeriesLayout, series_of_frame
from harness.data.summaries import of_channels, summaries
from harness.data.unusual import Unusual, add
from harness.errors import DataError
from harness.records import Input, InputKind

_OUTLINE = 1024
"""Values of a series that copies of it are known by, at most."""
_LEAST = 8
"""Values of a series without its level and scale, below which many are alike by chance."""
_GAP = 1 / 3
"""Share of the steps of a channel from which filling them in makes up too much of it."""


class SeriesForm(TypedDict):
    """Of series. ``masked`` says whether lengths differ, ``reading`` how a table of series is laid out.

    ``array`` is what they were called in a file of arrays, ``separator`` what the task says of its CSV file.
    """

    inputs: Literal["series"]
    steps: Annotated[int, Field(ge=1)]
    masked: bool
    channels: list[str]
    mean: list[float]
    std: list[float]
    array: NotRequired[str]
    separator: NotRequired[Annotated[str, Field(max_length=1)]]
    reading: NotRequired[SeriesLayout]
    target: Target


class SeriesModality(Modality[Series]):
    """:class:`Series` of the same channels."""

    name = "series"
    raw = Series
    form: ClassVar[type] = SeriesForm
    seconds_a_value = 2.5e-7

    @override
    def take(self, raw: Series, rows: np.ndarray, what: str) -> Series:
        """Copy some series, into a mapped file where memory does not hold them."""
        return Series(rows_of(raw.values, rows, what), raw.lengths[rows], raw.channels)

    def alike(self, raw: Series) -> np.ndarray:
        """Tell identical series by their digests, those of their padding included."""
        return codes_of_equal(raw.values)

    @override
    def fit(self, raw: Series, rows: np.ndarray, what: str) -> dict[str, Any]:
        """Return the length of the longest series, and mean and deviation of each channel over all steps.

        Whether there is a mask is decided by all series, as the size of images is: the test part may hold the only
        shorter one.
        """
        part = raw[rows]
        mean_C, std_C = _moments(part.values)
        return {
            "inputs": self.name,
            "steps": int(part.lengths.max()),
            "masked": bool(np.ptp(raw.lengths)),
            "channels": list(raw.channels),
            "mean": mean_C.tolist(),
            "std": std_C.tolist(),
        }

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return the series and, where lengths differ, which steps are there."""
        steps = fitted["steps"]
        series = Input(kind=InputKind.SERIES, shape=(steps, len(fitted["channels"])))
        return (series, Input(kind=InputKind.MASK, shape=(steps,), dtype="bool")) if fitted["masked"] else (series,)

    def prepare(self, fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Prepared:
        """Return standardised series of the length of training's, and their mask where there is one."""
        series = _as_series(fitted, raw)
        _check_lengths(fitted, series)
        add(unusual.cut, "series", series.lengths > fitted["steps"])
        for name, missing_NT in zip(series.channels, np.moveaxis(series.missing, 2, 0), strict=True):
            add(unusual.missing, name, missing_NT)
        steps = fitted["steps"]
        x_NTC = np.zeros((len(series), steps, len(fitted["channels"])), np.float32)
        mask_NT = np.arange(steps) < series.lengths[:, None]
        values = filled(series)[:, :steps]
        standard = (values - np.array(fitted["mean"])) / np.array(fitted["std"])
        there_NT = mask_NT[:, : values.shape[1]]
        x_NTC[:, : values.shape[1]][there_NT] = standard[there_NT]
        return Prepared((x_NTC, mask_NT) if fitted["masked"] else (x_NTC,))

    def width(self, fitted: Mapping[str, Any]) -> int:
        """Return the values of all steps."""
        return int(fitted["steps"]) * len(fitted["channels"])

    @override
    def features(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Features:
        """Return figures of each channel."""
        values, names = summaries(inputs[0], _lengths(inputs), fitted["channels"])
        return Features(values, tuple(names))

    @override
    def outline(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Outline | None:
        """Return the course of each series less the mean of each channel, of length 1."""
        _, steps, channels = inputs[0].shape
        if (steps - 1) * channels - 1 < _LEAST:
            return None
        x_NTC = block_means(inputs[0], max(2, _OUTLINE // channels))
        there_NT1 = block_means(
            (np.arange(steps) < _lengths(inputs)[:, None])[:, :, None], max(2, _OUTLINE // channels)
        )
        x_NTC = x_NTC - there_NT1 * (x_NTC.sum(axis=1) / there_NT1.sum(axis=1))[:, None]
        flat = x_NTC.reshape(len(x_NTC), -1)
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        return Outline(flat / np.where(norm > 0.0, norm, np.nan))

    @override
    def traits(self, raw: Series) -> dict[str, np.ndarray]:
        """Return the ends of each channel, and how long series are where that differs."""
        steps = {"the number of steps": raw.lengths} if np.ptp(raw.lengths) else {}
        ends = {"lowest": np.nanmin(raw.values, axis=1), "highest": np.nanmax(raw.values, axis=1)}
        return steps | {
            f"the {end} value{channel}": values_NC[:, place]
            for place, channel in enumerate(of_channels(raw.channels))
            for end, values_NC in ends.items()
        }

    @override
    def faults(self, raw: Series) -> Iterator[Fault]:
        """Yield series that never change, and those of which much is missing."""
        still_NC = np.nanmin(raw.values, axis=1) == np.nanmax(raw.values, axis=1)
        yield Fault(
            "empty",
            "have one value at all steps, in every channel",
            "look whether they were recorded, and remove them or add what tells them apart",
            still_NC.all(axis=1),
        )
        missing_NC = raw.missing.sum(axis=1) / raw.lengths[:, None]
        yield Fault(
            "gaps",
            f"lack more than {_GAP:.0%} of their steps in a channel, where straight lines are filled in",
            "remove them or the channel, or fill them in by what you know of them",
            (missing_NC > _GAP).any(axis=1),
        )


def _lengths(inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the steps of each prepared series."""
    if len(inputs) > 1:
        lengths: np.ndarray = inputs[1].sum(axis=1)
        return lengths
    return np.full(len(inputs[0]), inputs[0].shape[1])


def _moments(values_NTC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel in float64; 1 where it is the same at all steps."""
    mean_C = np.asarray(np.nanmean(values_NTC, axis=(0, 1), dtype=np.float64))
    std_C = np.asarray(np.nanstd(values_NTC, axis=(0, 1), dtype=np.float64))
    constant_C = np.nanmin(values_NTC, axis=(0, 1)) == np.nanmax(values_NTC, axis=(0, 1))
    return mean_C, np.where(constant_C | (std_C == 0.0), 1.0, std_C)


def _as_series(fitted: Mapping[str, Any], raw: Any) -> Series:
    """Return series as users give them: an array, a list of arrays, one for each, or a table such as training's."""
    channels = fitted["channels"]
    if isinstance(raw, pd.DataFrame):
        if not fitted.get("reading"):
            raise DataError("the training data were arrays or a .ts file, not a table; give an array N x steps")
        series = series_of_frame(raw, fitted["reading"]).series
    elif isinstance(raw, list | tuple):
        series = packed([_steps(each, len(channels)) for each in raw], tuple(channels))
    else:
        series = raw if isinstance(raw, Series) else of_array(as_array(raw), "raw series")
    if len(series.channels) != len(channels):
        raise DataError(
            f"raw series have {len(series.channels)} channels, the training data's had {len(channels)}:"
            f" {', '.join(channels)}; give as many"
        )
    check_series(series)
    return series


def _steps(raw: Any, channels: int) -> np.ndarray:
    """Return one series, steps x channels."""
    values = as_array(raw)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.dtype.kind not in "biuf" or values.shape[1] != channels:
        raise DataError(f"a raw series is {values.shape} of {values.dtype}; expected numbers, steps x {channels}")
    return values


def _check_lengths(fitted: Mapping[str, Any], series: Series) -> None:
    short = series.lengths < fitted["steps"]
    if not fitted["masked"] and short.any():
        row = int(np.argmax(short))
        raise Unlike(
            f"a series has {series.lengths[row]} steps, and all in training had {fitted['steps']}",
            row,
            "give all steps, or train on series of several lengths",
        )
