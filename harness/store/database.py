"""The study database: one Optuna study, written trial by trial, each step in one transaction.

It can be opened with Optuna and its dashboard, but no sampler works on it: what is read back are parameters, notes and
records. System attributes are never read, and nothing is ever unpickled (Optuna's CMA-ES sampler does both).

The public storage of Optuna commits each reported value apart and counts all trials to number a new one, so trials are
written here in its tables directly, in the way of Optuna 5.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import TrialState

from harness.errors import StorageError
from harness.store import schema
from harness.store.connection import (
    DAMAGED,
    Link,
    check_file,
    connect_postgresql,
    connect_sqlite,
    take_lock,
)
from harness.store.files import storage_errors, write_file
from harness.store.reading import NOTE, RECORD, StoredTrial, read_numbers, read_trials
from harness.store.writes import Writes

State = Literal["complete", "pruned", "fail"]

_TRIALS: sqlalchemy.Table = models.TrialModel.__table__
_PARAMS: sqlalchemy.Table = models.TrialParamModel.__table__
_VALUES: sqlalchemy.Table = models.TrialValueModel.__table__
_REPORTS: sqlalchemy.Table = models.TrialIntermediateValueModel.__table__
_ATTRIBUTES: sqlalchemy.Table = models.TrialUserAttributeModel.__table__
_SYSTEM: sqlalchemy.Table = models.TrialSystemAttributeModel.__table__

CONSTRAINT = "constraints:"
"""How the names of the attributes begin that ``Trial.set_constraint`` writes."""


class StudyDatabase:
    """One study, owned by this process: trials are begun in the order of their numbers, and finished in any.

    Every method raises :class:`StorageError` when the database cannot be read or written. What was not committed then
    is as if it had not been asked for.
    """

    def __init__(self, link: Link, study_id: int) -> None:
        self._link = link
        self._study_id = study_id
        self._writes: Writes | None = None
        """Of the transaction that is open."""
        self._new: set[int] = set()
        """Trials that nothing has been written of since they were begun here, by number."""
        with link.transaction() as connection:
            self._ids = read_numbers(connection, link.name, study_id)

    @classmethod
    def open(cls, where: Path | str, *, study: str, directions: Sequence[str], create: bool = True) -> StudyDatabase:
        """Open the study, or create it: in a SQLite file (a path) or a PostgreSQL database (a URL).

        With ``create`` off, as for a run that goes on, a study that is not there is lost: a :class:`StorageError`.
        ``directions`` are ``minimize`` or ``maximize``, one per objective. Raises :class:`InputError` for a URL of
        something else, :class:`HardwareError` without the driver, and :class:`StorageError` for a file that is torn,
        a study of another kind, a server that cannot be reached, or a study that another process has open.
        """
        wanted = [StudyDirection[direction.upper()] for direction in directions]
        if isinstance(where, Path):
            _ensure_file(where, study, wanted, create=create)
            link = connect_sqlite(where)
        else:
            link = connect_postgresql(where)
        try:
            with link.transaction() as connection:
                if isinstance(where, Path):
                    check_file(connection, where)
                    schema.check_alone(connection, link.name)
                else:
                    take_lock(connection, link.name, study)
                    schema.prepare_server(connection, where, study, wanted, create=create)
                found = schema.find_study(connection, link.name, study, wanted)
            return cls(link, found)
        except BaseException:
            link.close()
            raise

    @contextmanager
    def together(self) -> Iterator[Writes]:
        """Have all that is written meanwhile written in one transaction, or nothing of it."""
        if self._writes is not None:
            yield self._writes
            return
        begun = len(self._ids)
        try:
            with self._link.transaction() as connection:
                self._writes = Writes(connection)
                yield self._writes
                self._writes.flush()
        except BaseException:
            del self._ids[begun:]
            raise
        finally:
            self._writes = None

    def begin(
        self,
        number: int,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        note: Mapping[str, Any],
    ) -> None:
        """Write that trial ``number`` is to be trained, with what was chosen and a note of one's own, in JSON."""
        if number != len(self._ids):
            raise StorageError(f"{self._link.name}: trial {number} cannot follow trial {len(self._ids) - 1}")
        with self.together() as writes:
            trial_id = schema.insert(
                writes.connection,
                _TRIALS,
                number=number,
                study_id=self._study_id,
                state=TrialState.RUNNING,
                datetime_start=_now(),
            )
            writes.insert(_PARAMS, trial_id, [_param(name, params[name], distributions[name]) for name in params])
            writes.insert(_ATTRIBUTES, trial_id, [{"key": NOTE, "value_json": json.dumps(dict(note))}])
            self._ids.append(trial_id)
        self._new.add(number)

    def finish(
        self,
        number: int,
        *,
        state: State,
        values: Sequence[float],
        reports: Mapping[int, float],
        constraints: Mapping[str, float],
        record: str,
    ) -> None:
        """Write how a trial ended, in place of how it had ended before if it was taken up again.

        ``values`` has one number per objective, or none; ``reports`` are the pruner's, by epoch; a positive number
        among ``constraints`` marks a broken one.
        """
        assert not any(math.isnan(value) for value in (*values, *constraints.values())), "Optuna reads no NaN back"
        trial_id = self._trial_id(number)
        with self.together() as writes:
            self._touch(writes.connection, number, state=TrialState[state.upper()], datetime_complete=_now())
            if number not in self._new:
                writes.delete(_VALUES, trial_id)
                writes.delete(_REPORTS, trial_id)
                writes.delete(_SYSTEM, trial_id, _SYSTEM.c.key.startswith(CONSTRAINT))
            writes.insert(_VALUES, trial_id, map(_value, range(len(values)), values))
            writes.insert(_REPORTS, trial_id, map(_report, reports, reports.values()))
            writes.insert(_SYSTEM, trial_id, map(_constraint, constraints, constraints.values()))
            self._replace_record(writes, number, record)

    def keep(self, number: int, record: str) -> None:
        """Write a record and leave the trial as it is: what was spent on one that was interrupted, which stays open."""
        self._trial_id(number)
        with self.together() as writes:
            self._touch(writes.connection, number, study_id=self._study_id)
            self._replace_record(writes, number, record)

    def load(self) -> list[StoredTrial]:
        """Return all trials by number; anything in them that was not written here is a :class:`StorageError`."""
        with self._link.transaction() as connection:
            return read_trials(connection, self._link.name, self._study_id)

    def close(self) -> None:
        """Give the study back."""
        self._link.close()

    def _trial_id(self, number: int) -> int:
        if not 0 <= number < len(self._ids):
            raise StorageError(f"{self._link.name}: trial {number} was never begun")
        return self._ids[number]

    def _touch(self, connection: sqlalchemy.Connection, number: int, **columns: Any) -> None:
        """Set columns of a trial, which must still be there."""
        row = _TRIALS.c.trial_id == self._ids[number]
        if connection.execute(_TRIALS.update().where(row).values(**columns)).rowcount != 1:
            raise StorageError(f"{self._link.name}: trial {number} was removed from the study meanwhile; {DAMAGED}")

    def _replace_record(self, writes: Writes, number: int, record: str) -> None:
        if number in self._new:
            self._new.discard(number)
        else:
            writes.delete(_ATTRIBUTES, self._ids[number], _ATTRIBUTES.c.key == RECORD)
        writes.insert(_ATTRIBUTES, self._ids[number], [{"key": RECORD, "value_json": json.dumps(record)}])


def _ensure_file(path: Path, study: str, directions: Sequence[StudyDirection], *, create: bool) -> None:
    """Write an empty study where there is no file; refuse what SQLite would take for a new one, and was none."""
    log = path.with_name(f"{path.name}-wal")
    with storage_errors(path):
        if not path.exists():
            if log.exists():
                raise StorageError(f"{path}: is missing, and {log.name}, which belongs to it, is not; {DAMAGED}")
            if not create:
                raise StorageError(f"{path}: is missing, so its trials are lost; {DAMAGED}")
            write_file(path, schema.new_file(study, directions))
        elif path.stat().st_size == 0:
            raise StorageError(f"{path}: is empty, so its trials are lost; {DAMAGED}")


def _now() -> datetime:
    """Return the time as Optuna stores it: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def _param(name: str, value: Any, distribution: BaseDistribution) -> dict[str, Any]:
    number = distribution.to_internal_repr(value)
    assert distribution._contains(number), f"{name}: {value!r} is not in {distribution}"
    return {"param_name": name, "param_value": number, "distribution_json": distribution_to_json(distribution)}


def _value(objective: int, value: float) -> dict[str, Any]:
    number, kind = models.TrialValueModel.value_to_stored_repr(float(value))
    return {"objective": objective, "value": number, "value_type": kind}


def _report(epoch: int, value: float) -> dict[str, Any]:
    number, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(float(value))
    return {"step": epoch, "intermediate_value": number, "intermediate_value_type": kind}


def _constraint(name: str, margin: float) -> dict[str, Any]:
    return {"key": CONSTRAINT + name, "value_json": json.dumps(float(margin))}
