"""Looks at the test samples of a run, and what each was for: ``openings.json``, written before they are looked at.

A list is fixed before its first trial, so all its trials are scored in one look, however many commands that takes. The
look for the winner of a search stands in ``stats.json``; here are those for averages of its trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import StorageError
from harness.records import TrialRecord
from harness.store import RunFolder, read_status
from harness.store.files import damaged, read_object
from harness.store.runs import OPENINGS

SCHEMA_VERSION = 1


class Opening(TypedDict):
    """What the test samples were opened for."""

    when: str
    """The first time, in UTC, ISO 8601."""
    trials: list[int]
    seeds: list[int]


_OPENINGS = TypeAdapter(list[Opening])


def read_opening(run: Path) -> Opening | None:
    """Return what a run has opened its test samples for, if it has. Raises :class:`StorageError` for a damaged file."""
    return next(iter(_read(run)), None)


def _read(run: Path) -> list[Opening]:
    path = run / OPENINGS
    if not path.is_file():
        return []
    contents = read_object(path)
    if (version := contents.get("schema_version")) != SCHEMA_VERSION:
        raise StorageError(f"{path}: schema version {version!r}, this harness reads {SCHEMA_VERSION}")
    try:
        return _OPENINGS.validate_python(contents.get("openings"))
    except ValidationError as error:
        raise damaged(path, error, "openings") from None


def note_opening(folder: RunFolder, records: Sequence[TrialRecord]) -> int:
    """Log that these trials are scored on the test samples, beside those that were; return the number of looks: 1."""
    opening = read_opening(folder.path) or Opening(
        when=datetime.now(UTC).isoformat(timespec="seconds"), trials=[], seeds=[]
    )
    for record in records:
        if record.trial not in opening["trials"]:
            opening["trials"].append(record.trial)
            opening["seeds"].append(record.seed)
    folder.write_json(OPENINGS, {"schema_version": SCHEMA_VERSION, "openings": [opening]})
    folder.note(test_opened=1)
    return 1


def note_average(folder: RunFolder, records: Sequence[TrialRecord]) -> int:
    """Log a further look, for the average of these trials of a search; return the number of looks at the test samples.

    It is written before they are looked at.
    """
    entry = Opening(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        trials=[record.trial for record in records],
        seeds=[record.seed for record in records],
    )
    openings = [*_read(folder.path), entry]
    folder.write_json(OPENINGS, {"schema_version": SCHEMA_VERSION, "openings": openings})
    return count_look(folder)


def count_look(folder: RunFolder) -> int:
    """Count one more look at the test samples in ``status.json``; return how many that makes."""
    opened = read_status(folder.path).get("test_opened", 0) + 1
    folder.note(test_opened=opened)
    return opened
