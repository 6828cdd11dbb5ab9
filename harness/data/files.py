"""Checks and digests of the files that data is read from."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.digest import sha256_of_file
from harness.errors import DataError
from harness.hardware import free_host_mib
from harness.records import MIB


def existing_file(path: Path) -> Path:
    """Return ``path`` with ``~`` expanded; :class:`DataError` unless it is a regular file that can be read."""
    path, mode = _look_up(path, "file")
    if stat.S_ISDIR(mode):
        raise DataError(f"{path}: is a folder, not a file; name a file inside it")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: is not a regular file; copy its content to one")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read; check its permissions")
    return path


def existing_folder(path: Path) -> Path:
    """Return ``path`` with ``~`` expanded; :class:`DataError` unless it is a folder that can be listed."""
    path, mode = _look_up(path, "folder")
    if not stat.S_ISDIR(mode):
        raise DataError(f"{path}: is a file, not a folder; name the folder that holds one sub-folder per class")
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError(f"{path}: may not be listed; check its permissions")
    return path


def _look_up(path: Path, what: str) -> tuple[Path, int]:
    path = path.expanduser()
    try:
        return path, path.stat().st_mode
    except FileNotFoundError:
        raise DataError(f"{path}: no such {what}; a relative path starts at {Path.cwd()}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; check the path and its permissions") from None


def sha256_of_bytes(content: bytes) -> str:
    """Return the hex digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_arrays(*arrays: np.ndarray) -> str:
    """Return the hex digest of dtype, shape and bytes of arrays of at least one dimension."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def sha256_of_files(root: Path, files: Sequence[Path]) -> str:
    """Return the hex digest of the names of files below a folder and of what they hold."""
    digest = hashlib.sha256()
    for path in files:
        name = os.fsencode(path.relative_to(root).as_posix())
        digest.update(name + f"\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


def check_fits_host(needed_bytes: int, what: str) -> None:
    """Refuse, before reading it, what would take more than half of the memory that is free."""
    needed_mib, half_mib = needed_bytes / MIB, free_host_mib() / 2
    if needed_mib > half_mib:
        raise DataError(
            f"{what}: would take {needed_mib:,.0f} MiB, more than half of the free memory"
            f" ({half_mib:,.0f} MiB); use fewer or smaller samples"
        )
