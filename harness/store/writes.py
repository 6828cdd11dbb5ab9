"""Rows on their way into a study: gathered, so that those of many trials go in with one statement for each table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy


class Writes:
    """What one transaction writes of the rows that hang on trials; :meth:`flush` ends it."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self.connection = connection
        self._rows: dict[sqlalchemy.Table, list[dict[str, Any]]] = {}

    def insert(self, table: sqlalchemy.Table, trial_id: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows of a trial."""
        self._rows.setdefault(table, []).extend({"trial_id": trial_id, **row} for row in rows)

    def delete(self, table: sqlalchemy.Table, trial_id: int, *which: sqlalchemy.ColumnElement[bool]) -> None:
        """Remove the rows of a trial that were there before, or ``which`` of them."""
        self.connection.execute(table.delete().where(table.c.trial_id == trial_id, *which))

    def flush(self) -> None:
        """Write what was added."""
        for table, rows in self._rows.items():
            if rows:
                self.connection.execute(table.insert(), rows)
