"""The study database: SQLite in WAL mode, opened by the coordinator alone.

WAL with ``synchronous=NORMAL`` survives the death of the process at any moment; only a power cut may lose the last
commits, never the file (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage

from harness.errors import StorageError
from harness.store.files import storage_errors


def open_database(path: Path) -> RDBStorage:
    """Open or create the study database at ``path``. Raises :class:`StorageError`."""
    with storage_errors(path):
        try:
            storage = RDBStorage(f"sqlite:///{path.absolute()}")
        except RuntimeError as error:  # Optuna's word for a database of another Optuna version
            raise StorageError(f"{path}: made by another version of Optuna: {str(error).splitlines()[0]}") from error
        # Connections made from here on get the settings; the one that created the tables is given back first.
        storage.engine.dispose()
        sqlalchemy.event.listen(storage.engine, "connect", _configure)
    return storage


def close_database(storage: RDBStorage) -> None:
    """Close every connection, which also folds the write-ahead log into the file."""
    storage.remove_session()
    storage.engine.dispose()


def _configure(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
