"""Series of a file, of each of which the next values are predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.modalities.forecasts import times_ahead, windows_of_table
from harness.data.sources.forecast_file import series_file
from harness.prediction.samples import Chunk, Samples


def history_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the last window of each series of a CSV or Parquet file. Raises :class:`DataError`."""
    windows, notes = windows_of_table(preprocessing, series_file(path, preprocessing.get("separator", "")))
    names = np.array([windows.series_of(row) for row in range(len(windows))], dtype=object)

    def chunks(rows: int) -> Iterator[Chunk]:
        for first in range(0, len(windows), rows):
            taken = np.arange(first, min(first + rows, len(windows)))
            some = windows.take(taken)
            labels = {"series": names[taken]} if windows.layout.group is not None else {}
            share = (first + len(taken)) / len(windows)
            yield Chunk(some, len(taken), labels, share, {"time": times_ahead(some)})

    return Samples("", chunks, notes=notes)
