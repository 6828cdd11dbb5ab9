"""What a path holds of new samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.data.files import existing_file
from harness.errors import DataError
from harness.prediction.arrays import npz_samples
from harness.prediction.samples import Samples, image_samples
from harness.prediction.tables import csv_samples, parquet_samples

_PARQUET = b"PAR1"


def open_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the samples of a CSV, Parquet or NPZ file, or of a folder of images.

    A file is taken as its suffix says, Parquet also by its content, and any other as CSV. Raises :class:`DataError`.
    """
    path = path.expanduser()
    if path.is_dir():
        return image_samples(path, preprocessing)
    path = existing_file(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return npz_samples(path, preprocessing)
    if preprocessing["inputs"] == "image":
        size = " x ".join(map(str, preprocessing["image"]))
        raise DataError(
            f"{path}: is no NPZ file, and the model takes images ({size}); name a folder of images or an NPZ"
        )
    if suffix in (".parquet", ".pq") or _starts(path, _PARQUET):
        return parquet_samples(path, preprocessing)
    return csv_samples(path, preprocessing)


def _starts(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark
