"""What a run leaves behind: its folder, the study database, frames and provenance.

Names load on first use, so that a report can be written without loading Optuna.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import lazy_names
from harness.text import plain

if TYPE_CHECKING:
    from harness.store.codec import decode, encode
    from harness.store.connection import masked
    from harness.store.csv_text import to_csv
    from harness.store.database import StudyDatabase
    from harness.store.files import (
        read_json,
        read_object,
        sha256_file,
        storage_errors,
        write_file,
        write_first,
        write_json,
    )
    from harness.store.filesystem import check_local
    from harness.store.frames import TIMED_COLUMNS, epochs_frame, telemetry_frame, to_parquet, trials_frame
    from harness.store.parts import begin_part, part_files
    from harness.store.provenance import environment
    from harness.store.reading import StoredTrial
    from harness.store.run import RunFolder, check_run, check_space, read_status, refresh_manifest, seal, study_of

__all__ = [
    "TIMED_COLUMNS",
    "RunFolder",
    "StoredTrial",
    "StudyDatabase",
    "begin_part",
    "check_local",
    "check_run",
    "check_space",
    "decode",
    "encode",
    "environment",
    "epochs_frame",
    "masked",
    "part_files",
    "plain",
    "read_json",
    "read_object",
    "read_status",
    "refresh_manifest",
    "seal",
    "sha256_file",
    "storage_errors",
    "study_of",
    "telemetry_frame",
    "to_csv",
    "to_parquet",
    "trials_frame",
    "write_file",
    "write_first",
    "write_json",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "codec": ("decode", "encode"),
        "connection": ("masked",),
        "csv_text": ("to_csv",),
        "database": ("StudyDatabase",),
        "files": (
            "read_json",
            "read_object",
            "sha256_file",
            "storage_errors",
            "write_file",
            "write_first",
            "write_json",
        ),
        "frames": ("TIMED_COLUMNS", "epochs_frame", "telemetry_frame", "to_parquet", "trials_frame"),
        "parts": ("begin_part", "part_files"),
        "provenance": ("environment",),
        "reading": ("StoredTrial",),
        "filesystem": ("check_local",),
        "run": ("RunFolder", "check_run", "check_space", "read_status", "refresh_manifest", "seal", "study_of"),
    },
)
