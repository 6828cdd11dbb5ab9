"""A study as it stands now, read beside whoever writes to it: nothing of it is changed, locked or created.

SQLite makes files of its own beside a database in WAL mode even to read it, so what is opened is a copy.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy.pool import NullPool

from harness.errors import StorageError
from harness.store import schema
from harness.store.connection import (
    Link,
    check_file,
    connect_postgresql,
    connect_sqlite,
    database_errors,
    masked,
    optuna_address,
    patience,
    postgresql_url,
)
from harness.store.files import read_file
from harness.store.reading import damage

TRIES = 40
WAIT_S = 0.05
"""How often, and how far apart, a file is read that changes meanwhile; it is copied in far less time."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A study at one moment."""

    name: str
    directions: tuple[StudyDirection, ...]
    trials: tuple[FrozenTrial, ...]
    """By number, with what Optuna knows of each: nothing of it is trusted yet."""


def read_study(where: Path | str, study: str) -> Snapshot:
    """Read a study from its SQLite file (a path) or a PostgreSQL database (a URL), while it may be written to.

    Raises :class:`InputError` for a URL of something else, :class:`HardwareError` without the driver, and
    :class:`StorageError` for a file or server that cannot be read, and for a study that is not there or is damaged.
    """
    if isinstance(where, str):
        target = postgresql_url(where)
        with closing(connect_postgresql(where)) as link:
            found = _find(link, study)
        settings = {"connect_args": patience(target), "execution_options": {"postgresql_readonly": True}}
        return _read(optuna_address(target), settings, study, found, masked(where))
    with TemporaryDirectory(prefix="harness-") as folder:
        copy = copy_study(where, Path(folder))
        try:
            with closing(connect_sqlite(copy)) as link:
                found = _find(link, study, copy)
            return _read(f"sqlite:///{copy}", {}, study, found, str(where))
        except StorageError as error:
            raise StorageError(str(error).replace(str(copy), str(where))) from None


def copy_study(path: Path, folder: Path) -> Path:
    """Copy a SQLite file and its write-ahead log into a folder, as they were at one moment, and return the copy.

    Where both reads of the file are the same and the log only grew in between, what the log begins with belongs to the
    file: it is emptied only after all of it was written to the file. Raises :class:`StorageError`.
    """
    log = path.with_name(f"{path.name}-wal")
    for _ in range(TRIES):
        file, written = read_file(path, limit=None), _read_log(log)
        if _read_log(log).startswith(written) and read_file(path, limit=None) == file:
            copy = folder / path.name
            copy.write_bytes(file)
            if written:
                (folder / log.name).write_bytes(written)
            return copy
        time.sleep(WAIT_S)
    raise StorageError(f"{path}: changes faster than it can be read; try again")


def signature(path: Path) -> tuple[object, ...]:
    """Return what tells two states of a SQLite file and its log apart without reading them."""
    found = (file.stat() if file.is_file() else None for file in (path, path.with_name(f"{path.name}-wal")))
    return tuple((each.st_size, each.st_mtime_ns) if each else None for each in found)


def _read_log(log: Path) -> bytes:
    return read_file(log, limit=None) if log.exists() else b""


def _find(link: Link, study: str, copy: Path | None = None) -> int:
    """Return the id of a study in a database that has been checked."""
    with link.transaction() as connection:
        if copy is not None:
            check_file(connection, copy)
            schema.check_alone(connection, link.name)
        schema.check_version(connection, link.name)
        query = sqlalchemy.select(schema.STUDIES.c.study_id).where(schema.STUDIES.c.study_name == study)
        found = connection.scalar(query)
    if found is None:
        raise StorageError(f"{link.name}: has no study {study!r}; name the database that the run was made with")
    return int(found)


def _read(address: str, settings: Mapping[str, Any], study: str, study_id: int, name: str) -> Snapshot:
    with database_errors(name), damage(name, "the trials"):
        storage = RDBStorage(address, {"poolclass": NullPool, **settings}, skip_table_creation=True)
        try:
            directions = tuple(storage.get_study_directions(study_id))
            trials = sorted(storage.get_all_trials(study_id), key=lambda trial: trial.number)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    return Snapshot(study, directions, tuple(trials))
