"""New time series: in ``.ts``, NPZ and CSV files. Those of the first and the last kind are read whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.files import existing_file
from harness.data.series import Series, of_array
from harness.data.sources.arrays import npz_lengths
from harness.data.sources.series_file import read_series_file
from harness.data.sources.ts_file import read_ts_file
from harness.errors import DataError
from harness.prediction.arrays import npz_samples
from harness.prediction.samples import Chunk, Samples


def series_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the series of a file, which is taken as its suffix says. Raises :class:`DataError`."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder, and the model takes time series; name a .ts, NPZ or CSV file")
    path = existing_file(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _of_npz(path, preprocessing)
    if suffix == ".ts":
        found = read_ts_file(path)
        return _whole(path, found.series, found.place, None)
    if not preprocessing.get("reading"):
        raise DataError(f"{path}: is no .ts or NPZ file, from which the model has learnt series; name one of these")
    table, place = read_series_file(path, preprocessing.get("separator", ""), preprocessing["reading"])
    return _whole(path, table.series, place, table.names)


def _whole(path: Path, series: Series, place: Callable[[int], str], names: np.ndarray | None) -> Samples:
    def chunks(rows: int) -> Iterator[Chunk]:
        for first in range(0, max(1, len(series)), rows):
            some = series[first : first + rows]
            labels = {} if names is None else {"row": names[first : first + rows]}
            yield Chunk(some, len(some), labels, (first + len(some)) / max(1, len(series)))

    return Samples(str(path), chunks, place)


def _of_npz(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    samples, lengths = npz_samples(path, preprocessing, beside=("lengths",)), npz_lengths(path)

    def chunks(rows: int) -> Iterator[Chunk]:
        done = 0
        for chunk in samples.chunks(rows):
            own = None if lengths is None else lengths[done : done + chunk.samples]
            done += chunk.samples
            yield chunk._replace(raw=of_array(chunk.raw, "the array", own))

    return Samples(samples.where, chunks, samples.place)
