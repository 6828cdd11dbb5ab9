"""What a path holds of new samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.data.files import existing_file
from harness.data.sources.audio_file import AUDIO_FILES
from harness.data.sources.decoding import UTF_8
from harness.data.sources.image_folder import image_files
from harness.data.sources.parquet_file import is_parquet
from harness.data.sources.text_folder import TEXT_FILES, read_texts
from harness.errors import DataError
from harness.prediction.arrays import npz_samples
from harness.prediction.forecasts import history_samples
from harness.prediction.samples import Samples, file_samples
from harness.prediction.series import series_samples
from harness.prediction.tables import csv_samples, jsonl_samples, parquet_samples


def open_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the samples of a CSV, JSON-lines, Parquet, NPZ or ``.ts`` file, or of a folder of files of samples.

    A file is taken as its suffix says, Parquet also by its content, and any other as CSV. Raises :class:`DataError`.
    """
    return _OPENERS[preprocessing["inputs"]](path.expanduser(), preprocessing)


def _images(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    if path.is_dir():
        return file_samples(path, image_files(), list)
    path = existing_file(path)
    if path.suffix.lower() == ".npz":
        return npz_samples(path, preprocessing)
    size = " x ".join(map(str, preprocessing["image"]))
    raise DataError(f"{path}: is no NPZ file, and the model takes images ({size}); name a folder of images or an NPZ")


def _recordings(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    del preprocessing  # they say at which rate recordings are read, not which there are
    if not path.is_dir():
        raise DataError(f"{path}: is no folder, and the model takes recordings; name a folder of them")
    return file_samples(path, AUDIO_FILES, list)


def _table(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    if path.is_dir():
        raise DataError(
            f"{path}: is a folder, and the model takes rows of a table; name a CSV, JSON-lines, Parquet or NPZ file"
        )
    path = existing_file(path)
    if path.suffix.lower() == ".npz":
        return npz_samples(path, preprocessing)
    return _rows(path, preprocessing)


def _texts(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    encoding = preprocessing.get("encoding", UTF_8)
    if path.is_dir():
        return file_samples(path, TEXT_FILES, lambda files: read_texts(files, encoding))
    return _rows(existing_file(path), preprocessing)


def _rows(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    if is_parquet(path):
        return parquet_samples(path, preprocessing)
    if path.suffix.lower() == ".jsonl":
        return jsonl_samples(path, preprocessing)
    return csv_samples(path, preprocessing)


def _history(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    if path.is_dir():
        raise DataError(f"{path}: is a folder, and the model takes series; name a CSV or Parquet file")
    return history_samples(path, preprocessing)


_OPENERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Samples]] = {
    "audio": _recordings,
    "forecast": _history,
    "image": _images,
    "series": series_samples,
    "table": _table,
    "text": _texts,
}
"""What opens a path, by the modality of the model's inputs."""
