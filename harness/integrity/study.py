"""The study database: whether it can be trusted, and whether the tables tell what it does."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from optuna.storages._rdb import models
from sqlalchemy.pool import StaticPool

from harness.data import derive_seed
from harness.errors import InputError, StorageError
from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differences, differing
from harness.integrity.frames import frame_differences
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec.load import read_text
from harness.spec.reader import read_yaml
from harness.store import decode, epochs_frame, storage_errors, trials_frame
from harness.store.connection import check_file, database_errors
from harness.store.reading import StoredTrial, damage, read_trials
from harness.store.runs import REPLICATES
from harness.store.schema import check_alone, is_current
from harness.store.snapshot import copy_study
from harness.study.archive import STATES
from harness.study.decide.protocol import Known, Result
from harness.study.objectives import Objective
from harness.study.search import spec_of_run
from harness.study.soundness import check_candidates, check_result

FILE = "study.db"

_TRIALS: sqlalchemy.Table = models.TrialModel.__table__
_VALUES: sqlalchemy.Table = models.TrialValueModel.__table__


@dataclass(frozen=True, slots=True)
class Kept:
    """A trial as the study has it, beside the record that it was finished with."""

    stored: StoredTrial
    state: str
    values: tuple[float, ...]
    record: TrialRecord | None
    epochs: list[EpochRecord]


def check_study(contents: Contents, objectives: tuple[Objective, ...]) -> None:
    """Note what is wrong with the study, and where ``trials.parquet`` and ``epochs.parquet`` do not tell the same."""
    if (kept := _kept(contents)) is None:
        return
    contents.note(_own_findings(contents, kept, objectives))
    _check_space(contents, kept)
    records = [each.record for each in kept if each.record is not None]
    _check_table(contents, "trials.parquet", trials_frame(records, ()), ["trial"])
    told = [each for each in kept if each.record is not None and each.record.same_as is None]
    epochs = epochs_frame([epoch for each in told for epoch in each.epochs])
    _check_table(contents, "epochs.parquet", epochs, ["trial", "fold", "epoch"])


def _check_table(contents: Contents, name: str, expected: Any, keys: list[str]) -> None:
    frame = contents.table(name)
    if frame is not None and set(keys) <= set(frame.columns):
        contents.note(frame_differences(name, FILE, expected, frame, keys))


def check_study_alone(contents: Contents) -> None:
    """Note what is wrong with the study of a run whose tables may be older."""
    if (kept := _kept(contents)) is not None:
        contents.note(_own_findings(contents, kept, ()))
        _check_space(contents, kept)


def _kept(contents: Contents) -> list[Kept] | None:
    """Return the trials of the study; None where they cannot be read, which is noted or said."""
    if contents.read(FILE, _is_current) is False:
        contents.leave(f"{FILE}: it was made with another version of Optuna; install that of environment.json")
        return None
    return contents.read(FILE, _read)


def _is_current(path: Path) -> bool:
    with _opened(path) as connection:
        check_file(connection, path)
        return is_current(connection, path.name)


def _own_findings(contents: Contents, kept: Iterable[Kept], objectives: tuple[Objective, ...]) -> Iterator[Finding]:
    """Yield where a trial's row of the study is not what its record says."""
    for each in kept:
        number, record = each.stored.number, each.record
        if record is None:
            continue
        if each.state != "running":  # of one that was cut off only the record is kept
            state = STATES.get(record.outcome, "pruned")
            yield from differing(FILE, f"the state of trial {number} is not that of its record", state, each.state)
            values = (tuple(record.values), each.values)
            yield from differing(FILE, f"the values of trial {number} are not those of its record", *values)
        params = dict(record.params), dict(each.stored.params)
        yield from differences(FILE, f"the record of trial {number}", *params)
        if objectives:
            try:
                check_result(contents.run, each.stored, record, each.epochs, objectives)
            except StorageError as error:
                yield Finding(FILE, str(error).removeprefix(f"{contents.run}: "))


def _check_space(contents: Contents, kept: Iterable[Kept]) -> None:
    """Note where ``space.yaml`` is not the space of the run, or a trial is not a point of it."""
    known = [Known(each.stored.params, Result(each.record, each.epochs) if each.record else None) for each in kept]
    try:
        spec = spec_of_run(contents.run)
        check_candidates(contents.run, spec, known)
    except StorageError as error:
        contents.note([Finding("space.yaml", str(error).removeprefix(f"{contents.run / 'space.yaml'}: "))])
    except InputError as error:  # it is YAML, as is checked elsewhere: a family of a package that is not here, say
        if "space" in read_yaml(read_text(contents.run / "space.yaml"), "space.yaml").data:
            contents.leave(f"space.yaml cannot be read as a space here: {error}")
        else:
            contents.note([Finding("space.yaml", "it has no section 'space', with which that of a run ends")])
    else:
        contents.note(_seed_findings(spec.search.seed, kept) if not contents.has(REPLICATES) else ())


def _seed_findings(seed: int, kept: Iterable[Kept]) -> Iterator[Finding]:
    """Yield the trials of a search that were not trained with the seed that is theirs by its seed."""
    for each in kept:
        record = each.record
        if record is not None and record.same_as is None and record.outcome in (Outcome.COMPLETE, Outcome.PRUNED):
            what = f"the seed of trial {record.trial} is not the one drawn from that of space.yaml"
            yield from differing(FILE, what, derive_seed(seed, "trial", record.trial), record.seed)


def _read(path: Path) -> list[Kept]:
    """Return the trials of a study. Raises :class:`StorageError` where any of it is not as it was written."""
    name = path.name
    with _opened(path) as connection:
        check_alone(connection, name)
        (study_id,) = connection.scalars(sqlalchemy.select(_TRIALS.c.study_id).distinct()).all() or [0]
        trials = read_trials(connection, name, study_id)
        states = _states(connection)
        values = _values(connection)
    kept = []
    for stored in trials:
        try:
            record, epochs = decode(stored.record) if stored.record is not None else (None, [])
        except StorageError as error:
            raise StorageError(f"{path}: trial {stored.number}: {error}") from None
        kept.append(Kept(stored, states[stored.number], values.get(stored.number, ()), record, epochs))
    return kept


@contextmanager
def _opened(path: Path) -> Iterator[sqlalchemy.Connection]:
    """Open a study to be read, with nothing written beside it: SQLite would make files for a log in WAL mode.

    Where there is a log, a copy of both is read.
    """
    log = path.with_name(f"{path.name}-wal")
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as folder, storage_errors(path):
        if log.is_file() and log.stat().st_size:
            source = f"file:{quote(str(copy_study(path, Path(folder))))}"
        else:
            source = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        with database_errors(path.name):
            raw = sqlite3.connect(source, uri=True, check_same_thread=False)
            engine = sqlalchemy.create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()
                raw.close()


def _states(connection: sqlalchemy.Connection) -> Mapping[int, str]:
    with damage(FILE, "the trials"):
        rows = connection.execute(sqlalchemy.select(_TRIALS.c.number, _TRIALS.c.state)).all()
        return {row.number: row.state.name.lower() for row in rows}


def _values(connection: sqlalchemy.Connection) -> Mapping[int, tuple[float, ...]]:
    """Return the values of each trial by its number."""
    columns = (_TRIALS.c.number, _VALUES.c.value, _VALUES.c.value_type)
    query = sqlalchemy.select(*columns).select_from(_VALUES.join(_TRIALS)).order_by(_VALUES.c.objective)
    found: dict[int, tuple[float, ...]] = {}
    with damage(FILE, "the values"):
        for number, value, kind in connection.execute(query):
            told = models.TrialValueModel.stored_repr_to_value(value, kind)
            found[number] = (*found.get(number, ()), float(told))
    return found
