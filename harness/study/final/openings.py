"""The look at the test samples of a run of listed trials: ``openings.json``, written before they are looked at.

A list is fixed before its first trial, so all its trials are scored in one look, however many commands that takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import StorageError
from harness.records import TrialRecord
from harness.store import RunFolder
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
    path = run / OPENINGS
    if not path.is_file():
        return None
    contents = read_object(path)
    if (version := contents.get("schema_version")) != SCHEMA_VERSION:
        raise StorageError(f"{path}: schema version {version!r}, this harness reads {SCHEMA_VERSION}")
    try:
        openings = _OPENINGS.validate_python(contents.get("openings"))
    except ValidationError as error:
        raise damaged(path, error, "openings") from None
    return openings[0] if openings else None


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
