"""Series to forecast: what is looked back on, as float32 ``x_NWC``.

The channels are the target's past, that of further columns, and of those that are known ahead also the window that ends
with the horizon. Each is in standard units of the steps that are learnt from; the target too, or its logarithm, so that
what a model says of it in the same units needs no more than the same mean and scale.

Shape legend: N samples, W steps looked back on, C channels, S steps of all series.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from typing_extensions import TypedDict, override

from harness.data.columns import ColumnReading
from harness.data.fitted import Target
from harness.data.modalities.raw import codes_of_equal
from harness.data.modality import Modality, Prepared
from harness.data.regular import as_texts, next_times
from harness.data.room import room
from harness.data.sources.forecast_file import series_again
from harness.data.sources.forecast_samples import windows_of
from harness.data.sources.regular_table import One, SeriesTable
from harness.data.sources.tables import RawTable
from harness.data.texts import row_of
from harness.data.unusual import Unusual
from harness.data.windows import Layout, Windows
from harness.errors import DataError
from harness.records import Input, InputKind

SHOWN = 12
"""Test samples of which the past is kept, to be drawn."""


class Forecast(TypedDict):
    """Of series, whose channels are in the order that the module's text has."""

    inputs: Literal["forecast"]
    layout: Layout
    mean: list[float]
    scale: list[float]
    reading: dict[str, ColumnReading]
    target: Target


class ForecastModality(Modality[Windows]):
    """Stretches of series."""

    name = "forecast"
    raw = Windows
    form: ClassVar[type] = Forecast

    @override
    def take(self, raw: Windows, rows: np.ndarray, what: str) -> Windows:
        """Return some samples; what lies behind all of them is not there any more."""
        return _until_last(raw.take(rows))

    def alike(self, raw: Windows) -> np.ndarray:
        """Tell identical windows by their digests."""
        columns = [raw.past(column) for column in range(len(raw.layout.columns))]
        return codes_of_equal(np.concatenate([each[row] for each in columns]) for row in range(len(raw)))

    @override
    def fit(self, raw: Windows, rows: np.ndarray, what: str) -> dict[str, Any]:
        """Return mean and deviation of each column over the steps of some samples."""
        layout = raw.layout
        values_SC = _learned(layout, raw.values[_steps_of(raw.take(rows))])
        mean_C, scale_C = values_SC.mean(axis=0), values_SC.std(axis=0)
        scale_C[scale_C == 0.0] = 1.0
        own_unit = 0.0 if layout.log else 1.0
        target = {
            "mean": [float(mean_C[0])] * layout.horizon + [0.0],
            "scale": [float(scale_C[0])] * layout.horizon + [own_unit],
            "season": layout.season,
            **({"log": True} if layout.log else {}),
            **({"quantiles": list(layout.quantiles)} if layout.quantiles else {}),
        }
        plain = json.loads(json.dumps(layout.as_dict()))
        return {
            "inputs": self.name,
            "layout": plain,
            "mean": mean_C.tolist(),
            "scale": scale_C.tolist(),
            "target": target,
        }

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return the only input."""
        layout = layout_of(fitted)
        return (Input(kind=InputKind.SERIES, shape=(layout.window, layout.channels)),)

    @override
    def prepare(self, fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Prepared:
        """Return windows in standard units; of a table of series the last one of each, to predict beyond its end."""
        if not isinstance(raw, Windows):
            raw = windows_of_frame(fitted, raw)
        layout = raw.layout
        x_NWC = room((len(raw), layout.window, layout.channels), np.float32, "series")
        for channel, (column, values) in enumerate(channels_of(raw)):
            if column == 0 and layout.log:
                values = np.log(values)
            x_NWC[:, :, channel] = (values - fitted["mean"][column]) / fitted["scale"][column]
        return Prepared((x_NWC,))

    def width(self, fitted: Mapping[str, Any]) -> int:
        """Return the values of a window."""
        layout = layout_of(fitted)
        return layout.window * layout.channels

    @override
    def described(self, raw: Windows, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the series and the first time of each sample; of the first ones what they look like, as JSON."""
        samples = raw.take(rows)
        seen = range(len(samples))
        first = as_texts(raw.times[samples.firsts])
        drawn = [_drawn(samples, row) if row < SHOWN else "" for row in seen]
        named = {"series": np.array([samples.series_of(row) for row in seen], dtype=object)} if any(raw.names) else {}
        return {**named, "time": np.array(first, dtype=object), "drawn": np.array(drawn, dtype=object)}


def channels_of(raw: Windows) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each channel that a model sees, ``N x W`` in its own units, behind the column that it is of."""
    columns = len(raw.layout.columns)
    for channel, column in enumerate(raw.layout.places):
        yield column, raw.past(column) if channel < columns else raw.lead(column)


def layout_of(fitted: Mapping[str, Any]) -> Layout:
    """Return the layout that fitted preprocessing has."""
    lists = {name: tuple(value) for name, value in fitted["layout"].items() if isinstance(value, list)}
    return Layout(**{**fitted["layout"], **lists})


def windows_of_table(fitted: Mapping[str, Any], raw: RawTable) -> tuple[Windows, tuple[str, ...]]:
    """Return the last window of each series of a table, and what was noticed. Raises :class:`DataError`."""
    layout = layout_of(fitted)
    table = series_again(raw, layout, fitted["reading"])
    series = [_looked_back(one, layout, table) for one in table.series()]
    return windows_of(layout, series, [np.array([len(one.times) - one.ahead]) for one in series]), tuple(table.notes)


def windows_of_frame(fitted: Mapping[str, Any], frame: Any) -> Windows:
    """Return the last window of each series of a DataFrame. Raises :class:`DataError`."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError("raw series are no table; give a DataFrame with the columns of the training data")
    return windows_of_table(fitted, RawTable("series", "raw series", frame, row_of, ""))[0]


def times_ahead(windows: Windows) -> np.ndarray:
    """Return as text the times that each sample predicts, ``N x H``."""
    layout = windows.layout
    last = windows.times[windows.firsts - 1]
    ahead = [as_texts(next_times(each, layout.horizon, layout.frequency, layout.step)) for each in last]
    return np.array(ahead, dtype=object).reshape(len(windows), layout.horizon)


def _looked_back(one: One, layout: Layout, table: SeriesTable) -> One:
    steps = len(one.times) - one.ahead
    called = f"series {one.name!r}" if one.name else "the series"
    if steps < layout.window:
        raise DataError(
            f"{table.where}: {called} has {steps} steps, and the model looks back on {layout.window}; add some"
        )
    if layout.known and one.ahead < layout.horizon:
        raise DataError(
            f"{table.where}: {called} has {one.ahead} steps behind its last value with {', '.join(layout.known)}, and"
            f" the model predicts {layout.horizon} by them; add rows without {layout.target!r}"
        )
    if layout.log and (one.values[:steps, 0] <= 0.0).any():
        raise DataError(
            f"{table.where}: {called} has values that are not above 0, and logarithms are learnt; correct them"
        )
    return one


def _learned(layout: Layout, values_SC: np.ndarray) -> np.ndarray:
    if not layout.log:
        return values_SC
    return np.column_stack([np.log(values_SC[:, 0]), values_SC[:, 1:]])


def _steps_of(raw: Windows) -> np.ndarray:
    """Return bool (S,): the steps that samples look back on or predict."""
    changes = np.zeros(len(raw.values) + 1, np.int64)
    np.add.at(changes, raw.firsts - raw.layout.window, 1)
    np.add.at(changes, raw.firsts + raw.layout.horizon, -1)
    inside: np.ndarray = changes.cumsum()[:-1] > 0
    return inside


def _until_last(raw: Windows) -> Windows:
    """Return the same samples of series that end with what is predicted last; other steps are NaN."""
    last = np.zeros(len(raw.names), np.int64)
    np.maximum.at(last, raw.series[raw.firsts - 1], raw.firsts + raw.layout.horizon)
    later = np.arange(len(raw.series)) >= last[raw.series]
    return Windows(
        raw.layout,
        np.where(later[:, None], np.nan, raw.values),
        raw.times,
        raw.series,
        raw.names,
        raw.firsts,
    )


def _drawn(raw: Windows, row: int) -> str:
    """Return the past of a sample with its times, and those that are predicted, as JSON."""
    layout, first = raw.layout, raw.firsts[row]
    times = raw.times[first - layout.window : first + layout.horizon]
    return json.dumps({"times": as_texts(times), "past": raw.past(0)[row].tolist()})
