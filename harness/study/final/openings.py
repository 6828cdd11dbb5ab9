"""The log of the looks at the test samples of a run of listed trials, written before they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import InputError, StorageError
from harness.records import TrialRecord
from harness.store import RunFolder
from harness.store.files import read_object

FILE = "openings.json"
SCHEMA_VERSION = 1


class Opening(TypedDict):
    """One look, which lasts until all of its trials are scored."""

    when: str
    """In UTC, ISO 8601."""
    what: str
    trials: list[int]
    seeds: list[int]
    reopened: bool
    """Whether there was one before."""
    finished: bool


_OPENINGS = TypeAdapter(list[Opening])


def read_openings(run: Path) -> list[Opening]:
    """Return the log of a run, empty where there is none. Raises :class:`StorageError` where it is damaged."""
    path = run / FILE
    if not path.is_file():
        return []
    contents = read_object(path)
    if (version := contents.get("schema_version")) != SCHEMA_VERSION:
        raise StorageError(f"{path}: schema version {version!r}, this harness reads {SCHEMA_VERSION}")
    try:
        return _OPENINGS.validate_python(contents.get("openings"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])
        raise StorageError(f"{path}: openings.{where}: {first['msg']}; the file is damaged") from None


def check_unopened(run: Path, *, reopen: bool) -> None:
    """Raise :class:`InputError` where the test samples were looked at before, unless they may be again."""
    log = read_openings(run)
    if log and log[-1]["finished"] and not reopen:
        raise InputError(
            f"{run}: its test samples were opened on {log[-1]['when']}, so another look is optimistic; "
            "the scores are in its report; say --reopen-test to look again, which the report will show"
        )


def begin_opening(folder: RunFolder, records: Sequence[TrialRecord], *, reopen: bool) -> list[Opening]:
    """Log that these trials are scored, unless an earlier look at them was cut off and goes on; return the log.

    Raises :class:`InputError` as :func:`check_unopened` does.
    """
    check_unopened(folder.path, reopen=reopen)
    log = read_openings(folder.path)
    if not log or log[-1]["finished"]:
        opening = Opening(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            what="the weights of each complete trial",
            trials=[record.trial for record in records],
            seeds=[record.seed for record in records],
            reopened=bool(log),
            finished=False,
        )
        log.append(opening)
        _write(folder, log)
    return log


def end_opening(folder: RunFolder, log: Sequence[Opening]) -> None:
    """Log that the last look is over."""
    _write(folder, [*log[:-1], {**log[-1], "finished": True}])


def _write(folder: RunFolder, log: Sequence[Opening]) -> None:
    folder.write_json(FILE, {"schema_version": SCHEMA_VERSION, "openings": list(log)})
