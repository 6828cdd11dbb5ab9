"""What a path holds of new samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.data.files import existing_file
from harness.errors import DataError
from harness.prediction.arrays import npz_samples
from harness.prediction.samples import Samples, image_samples
from harness.prediction.series import series_samples
from harness.prediction.tables import csv_samples, parquet_samples

_PARQUET = b"PAR1"


def open_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the samples of a CSV, Parquet, NPZ or ``.ts`` file, or of a folder of images.

    A file is taken as its suffix says, Parquet also by its content, and any other as CSV. Raises :class:`DataError`.
    """
    return _OPENERS[preprocessing["inputs"]](path.expanduser(), preprocessing)


def _images(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    if path.is_dir():
        return image_samples(path)
    path = existing_file(path)
    if path.suffix.lower() == ".npz":
        return npz_samples(path, preprocessing)
    size = " x ".join(map(str, preprocessing["image"]))
    raise DataError(f"{path}: is no NPZ file, and the model takes images ({size}); name a folder of images or an NPZ")


def _table(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    if path.is_dir():
        raise DataError(f"{path}: is a folder, and the model takes rows of a table; name a CSV, Parquet or NPZ file")
    path = existing_file(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return npz_samples(path, preprocessing)
    if suffix in (".parquet", ".pq") or _starts(path, _PARQUET):
        return parquet_samples(path, preprocessing)
    return csv_samples(path, preprocessing)


def _starts(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


_OPENERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Samples]] = {
    "image": _images,
    "series": series_samples,
    "table": _table,
}
"""What opens a path, by the modality of the model's inputs."""
