"""A study in Optuna's tables: made whole or not at all, and found again only if it is the one that was meant."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cache
from typing import Any, NamedTuple

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from sqlalchemy.pool import NullPool, StaticPool

from harness.cache import user_cache
from harness.errors import StorageError
from harness.store.connection import (
    DAMAGED,
    database_errors,
    lock_key,
    masked,
    optuna_address,
    patience,
    postgresql_url,
)
from harness.store.files import read_file, write_file
from harness.store.reading import damage

STUDIES: sqlalchemy.Table = models.StudyModel.__table__
DIRECTIONS: sqlalchemy.Table = models.StudyDirectionModel.__table__

_VERSION = sqlalchemy.table("alembic_version", sqlalchemy.column("version_num"))


def new_file(study: str, directions: Sequence[StudyDirection]) -> bytes:
    """Return a SQLite database that holds one empty study."""
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.deserialize(_empty().file)
        engine = sqlalchemy.create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool)
        with engine.begin() as connection:
            _add_study(connection, study, directions)
        return memory.serialize()


def prepare_server(
    connection: sqlalchemy.Connection, url: str, study: str, directions: Sequence[StudyDirection], *, create: bool
) -> None:
    """Create the tables in a PostgreSQL database that has none, and an empty study unless it is there."""
    name = masked(url)
    # One process at a time; the lock ends with the transaction.
    connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(lock_key(":tables"))))
    if not _has_version(connection):
        target = postgresql_url(url)
        with database_errors(name):
            RDBStorage(
                optuna_address(target), {"poolclass": NullPool, "connect_args": patience(target)}
            ).remove_session()
    check_version(connection, name)
    known = connection.scalar(sqlalchemy.select(STUDIES.c.study_id).where(STUDIES.c.study_name == study))
    if known is None and create:
        _add_study(connection, study, directions)


def check_version(connection: sqlalchemy.Connection, name: str) -> None:
    """Raise :class:`StorageError` unless the tables are those of the Optuna that is installed."""
    found = _versions(connection, name)
    if found != [_empty().version]:
        versions = ", ".join(repr(version) for version in found) or "none"
        raise StorageError(
            f"{name}: made by another version of Optuna (schema {versions}, here {_empty().version!r}); "
            "install the versions in the run's environment.json, or start a new run"
        )


def is_current(connection: sqlalchemy.Connection, name: str) -> bool:
    """Tell whether the tables are those of the Optuna that is installed. Raises :class:`StorageError` without any."""
    return _versions(connection, name) == [_empty().version]


def find_study(connection: sqlalchemy.Connection, name: str, study: str, directions: Sequence[StudyDirection]) -> int:
    """Return the id of a study. Raises :class:`StorageError` when it is not there, or has other directions."""
    ids = connection.scalars(sqlalchemy.select(STUDIES.c.study_id).where(STUDIES.c.study_name == study)).all()
    if len(ids) != 1:
        raise StorageError(f"{name}: has no study {study!r}; {DAMAGED}")
    query = sqlalchemy.select(DIRECTIONS.c.objective, DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == ids[0])
    with damage(name, "the objectives"):
        rows = connection.execute(query.order_by(DIRECTIONS.c.objective))
        found = [(objective, direction.name) for objective, direction in rows]
    if found != [(objective, direction.name) for objective, direction in enumerate(directions)]:
        words = ", ".join(direction.lower() for _, direction in found) or "nothing"
        raise StorageError(f"{name}: study {study!r} has other objectives ({words}); start a new run for these")
    return int(ids[0])


def check_alone(connection: sqlalchemy.Connection, name: str) -> None:
    """Raise :class:`StorageError` unless a file is the database of one study: a run has one."""
    check_version(connection, name)
    count = connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(STUDIES)) or 0
    if count > 1:
        raise StorageError(f"{name}: has {count} studies, where a run has one; {DAMAGED}")


def insert(connection: sqlalchemy.Connection, table: sqlalchemy.Table, **columns: Any) -> int:
    """Insert a row and return its key."""
    key = connection.execute(table.insert().values(**columns)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _versions(connection: sqlalchemy.Connection, name: str) -> Sequence[str]:
    """Return the versions that are noted of the tables, one unless somebody changed it."""
    if not _has_version(connection):
        raise StorageError(f"{name}: not a study database; {DAMAGED}")
    return connection.scalars(sqlalchemy.select(_VERSION.c.version_num)).all()


def _has_version(connection: sqlalchemy.Connection) -> bool:
    """Return whether a database has Optuna's tables; their version is noted when the others are made."""
    return sqlalchemy.inspect(connection).has_table(_VERSION.name)


def _add_study(connection: sqlalchemy.Connection, study: str, directions: Sequence[StudyDirection]) -> None:
    study_id = insert(connection, STUDIES, study_name=study)
    rows = [
        {"study_id": study_id, "objective": objective, "direction": direction}
        for objective, direction in enumerate(directions)
    ]
    connection.execute(DIRECTIONS.insert(), rows)


class _Empty(NamedTuple):
    """Optuna's tables without a study."""

    file: bytes
    version: str


@cache
def _empty() -> _Empty:
    """Return the tables that the installed Optuna makes.

    That takes it half a second, so they are kept in the user's cache; what is damaged there, or cannot be written, is
    made anew.
    """
    path = user_cache() / "optuna" / f"{optuna.__version__}.db"
    with suppress(StorageError, sqlite3.Error, ValueError):
        return _kept(read_file(path))
    made = _made()
    with suppress(OSError, StorageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, made.file)
    return made


def _kept(file: bytes) -> _Empty:
    """Return what a file holds. Raises :class:`StorageError` where that is not Optuna's tables, all of them empty."""
    if not file:
        raise StorageError("empty")
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.deserialize(file)
        sound = memory.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
        made = {name for (name,) in memory.execute("SELECT name FROM sqlite_master WHERE type != 'index'")}
        if not sound or made != {*models.BaseModel.metadata.tables, _VERSION.name}:
            raise StorageError("not the tables of the installed Optuna")
        if memory.execute(f"SELECT COUNT(*) FROM {STUDIES.name}").fetchone() != (0,):
            raise StorageError("holds a study")
        ((version,),) = memory.execute(f"SELECT version_num FROM {_VERSION.name}")
        return _Empty(file, str(version))


def _made() -> _Empty:
    """Have Optuna make its tables."""
    with closing(sqlite3.connect(":memory:")) as memory:
        storage = RDBStorage("sqlite://", {"creator": lambda: memory, "poolclass": StaticPool})
        storage.remove_session()
        return _Empty(memory.serialize(), storage.get_head_version())
