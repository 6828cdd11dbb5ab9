"""Files that are either whole or not there: written under a temporary name, synced, renamed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.digest import sha256_of_file
from harness.errors import StorageError, first_line
from harness.text import plain, readable

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import ValidationError

MAX_BYTES = 64 << 20
"""More than any text or JSON file of a run; what is larger is not read into memory."""

TEMPORARY = re.compile(r"\..+\.\d+(-[0-9a-f]+)?\.tmp")
"""Names that files are written under first; one that stays is of a process that was killed."""


def write_file(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content`` in one step. Raises :class:`StorageError`."""
    data = readable(content).encode() if isinstance(content, str) else content
    with beside(path) as temporary:
        # Opened only where nothing is: a link that someone planted under this name is not followed.
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)


def write_first(path: Path, content: str) -> bool:
    """Write ``path`` in one step unless it is there; return whether it was not. Raises :class:`StorageError`.

    Of several processes that write at once one succeeds. Not synced: it is for what can be had again.
    """
    with beside(path) as temporary:
        with temporary.open("xb") as file:
            file.write(readable(content).encode())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if path.exists():
                return False
            temporary.replace(path)
    return True


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a name in the folder of ``path`` to write under first; what is left there at the end is removed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with storage_errors(path):
        try:
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write under what is to be ``path``: it is that in one step at the end, unless an error is raised.

    For what is too large to be held in memory. Raises :class:`StorageError`.
    """
    with beside(path) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys; NaN and infinity become null."""
    write_file(path, json.dumps(plain(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_file(path: Path, limit: int | None = MAX_BYTES) -> bytes:
    """Read a plain file of at most ``limit`` bytes. Raises :class:`StorageError`, also for a link or a pipe."""
    with storage_errors(path):
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise StorageError(f"{path}: not a plain file")
        if limit is not None and found.st_size > limit:
            raise StorageError(f"{path}: larger than {limit >> 20} MiB, which no such file needs")
        return path.read_bytes()


def is_file(path: Path) -> bool:
    """Tell whether a file is there; one that cannot be reached, for its rights or its name, is none."""
    with contextlib.suppress(OSError):
        return path.is_file()
    return False


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises :class:`StorageError` when it is missing, torn, too large or not JSON."""
    data = read_file(path)
    try:
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path}: not valid JSON ({error}); the file is damaged") from None


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object. Raises :class:`StorageError` where it holds anything else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise StorageError(f"{path}: not a JSON object; the file is damaged")
    return value


def first_fault(error: ValidationError, *within: str) -> str:
    """Return the first thing that does not fit, with its path of keys below ``within``."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(key) for key in (*within, *first["loc"]))
    return f"{where}: {first['msg']}".removeprefix(": ")


def damaged(path: Path, error: ValidationError, *within: str) -> StorageError:
    """Return what to say of a file whose contents, below the keys ``within``, do not fit."""
    return StorageError(f"{path}: {first_fault(error, *within)}; the file is damaged")


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file. Raises :class:`StorageError` when it is missing, torn or not Parquet."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    data = read_file(path, limit=None)
    try:
        # In this thread: where no other one can be started, out of memory say, pyarrow waits for it for ever.
        table = ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        frame: pd.DataFrame = table.to_pandas(use_threads=False)
        return frame
    # What pyarrow says of a damaged file, and pandas of the description of its columns in one.
    except (OSError, ValueError, LookupError, TypeError, RecursionError, pa.ArrowException) as error:
        raise StorageError(f"{path}: cannot be read ({first_line(error)})") from error


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file. Raises :class:`StorageError`."""
    with storage_errors(path):
        return sha256_of_file(path)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of ``path`` into a one-line :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no value of JSON")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable where the system can sync a folder."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
