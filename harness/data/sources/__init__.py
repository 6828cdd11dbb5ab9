"""The readers of data, a file for each kind of source; to import one registers it."""

from harness.data.sources import (
    arrays,
    builtin,
    csv_file,
    given,
    image_folder,
    jsonl_file,
    parquet_file,
    series_file,
    text_folder,
    ts_file,
)
from harness.data.sources.source import Source, read_source

__all__ = [
    "Source",
    "arrays",
    "builtin",
    "csv_file",
    "given",
    "image_folder",
    "jsonl_file",
    "parquet_file",
    "read_source",
    "series_file",
    "text_folder",
    "ts_file",
]
