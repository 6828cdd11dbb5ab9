"""Trials read back from a study that may have been made, copied or changed anywhere."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)
from optuna.storages._rdb import models
from optuna.trial import TrialState

from harness.errors import StorageError
from harness.store.connection import DAMAGED

NOTE = "harness:note"
RECORD = "harness:record"
"""Keys of the user attributes that hold what was given with a trial."""

_TRIALS: sqlalchemy.Table = models.TrialModel.__table__
_PARAMS: sqlalchemy.Table = models.TrialParamModel.__table__
_ATTRIBUTES: sqlalchemy.Table = models.TrialUserAttributeModel.__table__

_KINDS = tuple(kind.__name__ for kind in (CategoricalDistribution, FloatDistribution, IntDistribution))


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """One trial as it lies in the database."""

    number: int
    params: Mapping[str, Any]
    note: Mapping[str, Any]
    """What it was begun with; empty in a study that no note was written to."""
    record: str | None
    """The text it was finished with, or that was kept of it; None: begun, and never heard of again."""


def read_numbers(connection: sqlalchemy.Connection, name: str, study_id: int) -> list[int]:
    """Return the keys of a study's trials by number; a gap in the numbers is a :class:`StorageError`."""
    query = sqlalchemy.select(_TRIALS.c.number, _TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)
    with damage(name, "the trials"):
        rows = connection.execute(query.order_by(_TRIALS.c.trial_id)).all()
        numbers = [row.number for row in rows]
        if numbers != list(range(len(rows))):
            raise ValueError("their numbers have gaps")
        return [int(row.trial_id) for row in rows]


def read_trials(connection: sqlalchemy.Connection, name: str, study_id: int) -> list[StoredTrial]:
    """Return a study's trials by number; whatever is not as it was written is a :class:`StorageError`."""
    ids = read_numbers(connection, name, study_id)
    with damage(name, "the trials"):
        params = _params(connection, study_id)
        attributes = _attributes(connection, study_id)
        states = _states(connection, study_id)
    trials = []
    for number, trial_id in enumerate(ids):
        with damage(name, f"trial {number}"):
            chosen = {_text(key): _chosen(*rest) for key, *rest in params.get(trial_id, ())}
            note = _json(attributes.get((trial_id, NOTE), "{}"))
            if not isinstance(note, dict):
                raise TypeError("its note is no mapping")
            record = _text(_json(attributes[trial_id, RECORD])) if (trial_id, RECORD) in attributes else None
            if record is None and states[trial_id] is not TrialState.RUNNING:
                raise ValueError("it ended without a record")
            trials.append(StoredTrial(number, chosen, note, record))
    return trials


@contextmanager
def damage(name: str, what: str) -> Iterator[None]:
    """Turn whatever a malformed value leads to into a one-line :class:`StorageError`."""
    try:
        with warnings.catch_warnings():
            # Optuna warns of values that it would change; none that was written here is of that kind.
            warnings.simplefilter("error", UserWarning)
            yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, Warning) as error:
        words = " ".join(str(error).split())[:200]
        raise StorageError(f"{name}: {what} cannot be read, the study is damaged ({words}); {DAMAGED}") from error


def _params(connection: sqlalchemy.Connection, study_id: int) -> dict[int, list[tuple[Any, ...]]]:
    columns = (_PARAMS.c.trial_id, _PARAMS.c.param_name, _PARAMS.c.param_value, _PARAMS.c.distribution_json)
    query = sqlalchemy.select(*columns).join(_TRIALS).where(_TRIALS.c.study_id == study_id)
    found: dict[int, list[tuple[Any, ...]]] = {}
    for trial_id, *rest in connection.execute(query.order_by(_PARAMS.c.param_id)):
        found.setdefault(trial_id, []).append(tuple(rest))
    return found


def _attributes(connection: sqlalchemy.Connection, study_id: int) -> dict[tuple[int, str], Any]:
    columns = (_ATTRIBUTES.c.trial_id, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
    mine = (_TRIALS.c.study_id == study_id) & _ATTRIBUTES.c.key.in_((NOTE, RECORD))
    rows = connection.execute(sqlalchemy.select(*columns).join(_TRIALS).where(mine))
    return {(trial_id, key): value for trial_id, key, value in rows}


def _states(connection: sqlalchemy.Connection, study_id: int) -> dict[int, TrialState]:
    query = sqlalchemy.select(_TRIALS.c.trial_id, _TRIALS.c.state).where(_TRIALS.c.study_id == study_id)
    return {row.trial_id: row.state for row in connection.execute(query)}


def _chosen(number: Any, distribution_json: Any) -> Any:
    """Return a parameter's value."""
    distribution = _distribution(distribution_json)
    if not isinstance(number, float | int) or not distribution._contains(number):
        raise ValueError(f"{number!r} is not in {distribution}")
    return distribution.to_external_repr(number)


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    if _json(text)["name"] not in _KINDS:  # The others are deprecated, and were never written here.
        raise ValueError(f"unknown distribution {text[:80]!r}")
    return json_to_distribution(text)


def _json(text: Any) -> Any:
    return json.loads(_text(text))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:80]!r} is no text")
    return value
