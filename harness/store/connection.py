"""The one connection to a study database: a SQLite file in WAL mode, or a PostgreSQL server.

WAL with ``synchronous=NORMAL`` survives the death of the process at any moment; only a power cut may lose the last
commits, never the file (https://www.sqlite.org/wal.html). A study on a server is held by an advisory lock for as long
as the connection lives (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from harness.errors import InputError, StorageError, did_you_mean
from harness.extras import load_extra

DRIVER = "postgresql+psycopg"
SCHEMES = ("postgresql", "postgres", DRIVER)

PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""How long libpq waits for a server that does not answer, in seconds, the last in milliseconds; by default hours."""

DAMAGED = "restore it from a copy, or start a new run"
"""What to do about a study that cannot be trusted."""


class Link:
    """An open connection and the name that messages call its database by."""

    def __init__(self, engine: sqlalchemy.Engine, name: str, advice: str = "") -> None:
        self.name = name
        self._advice = advice
        self._engine = engine
        with database_errors(name, "" if not advice else "; check the URL, and that the server runs"):
            self._connection = engine.connect()

    @contextmanager
    def transaction(self) -> Iterator[sqlalchemy.Connection]:
        """Give the connection for one transaction. Raises :class:`StorageError`."""
        if self._connection.invalidated:  # It would connect anew, without the lock that it held.
            raise StorageError(f"{self.name}: the connection to the database was lost{self._advice}")
        with database_errors(self.name, self._advice), self._connection.begin():
            yield self._connection

    def close(self) -> None:
        """Close the connection, which also folds a write-ahead log into its file."""
        self._connection.close()
        self._engine.dispose()


def connect_sqlite(path: Path) -> Link:
    """Connect to an existing SQLite file."""
    target = sqlalchemy.URL.create("sqlite", database=str(path.absolute()))
    engine = sqlalchemy.create_engine(target, poolclass=NullPool)
    sqlalchemy.event.listen(engine, "connect", configure)
    return Link(engine, str(path))


def connect_postgresql(url: str) -> Link:
    """Connect to a PostgreSQL database.

    Raises :class:`InputError` for a URL of something else, :class:`HardwareError` without the driver, and
    :class:`StorageError` when the server cannot be reached, or refuses.
    """
    target = postgresql_url(url)
    engine = sqlalchemy.create_engine(target, poolclass=NullPool, connect_args=patience(target))
    return Link(engine, masked(url), "; once the server is well again, resume the run")


def check_file(connection: sqlalchemy.Connection, path: Path) -> None:
    """Refuse a SQLite file that would be read wrongly, or that would do more than be read."""
    page = connection.exec_driver_sql("PRAGMA page_size").scalar() or 1
    if path.stat().st_size % page:  # SQLite would fill up its last page with zeros.
        raise StorageError(f"{path}: the file was cut off; {DAMAGED}")
    verdict = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
    if verdict != "ok":
        raise StorageError(f"{path}: the file is damaged ({' '.join(verdict.split())}); {DAMAGED}")
    kinds = "SELECT COUNT(*) FROM sqlite_master WHERE type IN ('view', 'trigger')"
    if connection.exec_driver_sql(kinds).scalar():
        raise StorageError(f"{path}: has views or triggers, which no study has; {DAMAGED}")


def take_lock(connection: sqlalchemy.Connection, name: str, study: str) -> None:
    """Take the lock of a study on a server for as long as the connection lives, or raise :class:`StorageError`."""
    connection.execute(sqlalchemy.text("SET lock_timeout = '60s'"))
    if not connection.scalar(sqlalchemy.select(sqlalchemy.func.pg_try_advisory_lock(lock_key(study)))):
        raise StorageError(f"{name}: another harness process is writing to study {study!r}; wait for it or stop it")


def configure(connection: Any, _record: Any) -> None:
    """Set up a new connection to a SQLite file."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def patience(target: sqlalchemy.URL) -> dict[str, Any]:
    """Return what libpq is to be given on waiting, as far as the URL does not say it."""
    return {name: value for name, value in PATIENCE.items() if name not in target.query}


def postgresql_url(url: str) -> sqlalchemy.URL:
    """Return the URL of a PostgreSQL database with psycopg 3 as its driver.

    Raises :class:`InputError` for another URL, :class:`HardwareError` when the driver is not installed.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in SCHEMES:
        hint = did_you_mean(scheme, SCHEMES) if separator else "; write postgresql://user@host/database"
        raise InputError(f"{masked(url)}: not the URL of a PostgreSQL database{hint}")
    try:
        target = sqlalchemy.make_url(url).set(drivername=DRIVER)
    except (SQLAlchemyError, ValueError):  # Their words may hold the password.
        target = None
    if target is None or "@" in (target.host or ""):
        raise InputError(
            f"{masked(url)}: not a valid URL; write postgresql://user:password@host:port/database, "
            "with special characters of the password percent-encoded"
        )
    load_extra("psycopg", extra="postgresql", use="a PostgreSQL database")
    return target


def optuna_address(target: sqlalchemy.URL) -> str:
    """Return a URL with its password as Optuna takes it, which takes braces for a template of its own."""
    return target.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")


def masked(url: str) -> str:
    """Return a database URL without any password, to be shown or written to a file.

    What is left can be connected to with the password in ``PGPASSWORD`` or ``~/.pgpass``.
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    # Up to the last @, so that nothing of a password that holds one itself is left over.
    address, _, query = re.sub(r"^([^:/@]*):.*@", r"\1@", rest, flags=re.DOTALL).partition("?")
    options = [option for option in query.split("&") if not unquote_plus(option.partition("=")[0]).endswith("password")]
    return f"{scheme}{separator}{address}?{'&'.join(options)}".rstrip("?")


def lock_key(name: str) -> int:
    """Return the 64-bit key of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"harness:{name}".encode()).digest()[:8], "big", signed=True)


@contextmanager
def database_errors(name: str, advice: str = "") -> Iterator[None]:
    """Turn what the system or the database says into a one-line :class:`StorageError`."""
    try:
        yield
    except (OSError, UnicodeError) as error:  # A host name that cannot be looked up.
        raise StorageError(f"{name}: {_one_line(error)}{advice}") from error
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        # The database's own words are in `orig`; the rest of the text is the SQL statement.
        words = getattr(cause, "orig", None) or cause or error
        # SQLite's plain DatabaseError is a file that is torn or no database; its subclasses are something else.
        if type(words) is sqlite3.DatabaseError:
            advice = f"; {DAMAGED}"
        raise StorageError(f"{name}: {_one_line(words)}{advice}") from error


def _one_line(words: BaseException) -> str:
    return " ".join(str(words).split())
