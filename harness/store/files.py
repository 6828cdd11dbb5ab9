"""Files that are either whole or not there: written under a temporary name, synced, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from harness.errors import StorageError


def write_file(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content`` in one step. Raises :class:`StorageError`."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys; NaN and infinity become null."""
    write_file(path, json.dumps(plain(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises :class:`StorageError` when it is missing, torn or not JSON."""
    with storage_errors(path):
        data = path.read_bytes()
    try:
        return json.loads(data)
    except ValueError as error:
        raise StorageError(f"{path}: not valid JSON ({error}); the file is damaged") from None


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """Return ``value`` as strict JSON can hold it: NaN and infinity become None, tuples lists, keys strings."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the system or the database says of ``path`` into a one-line :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    except SQLAlchemyError as error:
        # The database's own words are in `orig`; the rest of the text is the SQL statement.
        raise StorageError(f"{path}: {getattr(error, 'orig', None) or error}") from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable where the system can sync a folder."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
