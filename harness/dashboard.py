"""Optuna's dashboard on the study of a run, which it can look at and not change.

What is served is a copy in memory, made anew as the run goes on: a sealed run keeps its bytes, and a search under way
is neither locked nor slowed.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from harness.errors import InputError, StorageError
from harness.extras import load_extra
from harness.spec import load_spec
from harness.store import check_run, decode, study_of
from harness.store.database import CONSTRAINT
from harness.store.reading import RECORD, damage
from harness.store.runs import check_no_comparison
from harness.store.snapshot import Snapshot, read_study, signature

REFRESH_S = 2.0
"""How old a copy may be when somebody asks for the study."""


class Pages:
    """The pages of a run's study as a WSGI application; whoever asks to change anything is answered 405."""

    def __init__(self, run: Path, storage: str | None = None) -> None:
        """``storage`` is the URL of the PostgreSQL database, where the study is in one.

        Raises :class:`InputError` where it is no run with a study, :class:`HardwareError` without optuna-dashboard,
        and :class:`StorageError` where the study cannot be read.
        """
        check_run(run)
        check_no_comparison(run)
        self._dashboard = load_extra("optuna_dashboard", extra="dashboard", use="harness dashboard")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._where, self._study = study_of(run, storage)
        self._metrics = _metrics(run)
        self._title = run.resolve().name
        self._lock = threading.Lock()
        self._complaint = ""
        self._seen = self._state()
        self._app = self._read()
        self._read_at = time.monotonic()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            said = {"reason": "the pages of a run are read-only; open its study.db with optuna-dashboard to change it"}
            start_response("405 Method Not Allowed", [("Content-Type", "application/json"), ("Allow", "GET, HEAD")])
            return [json.dumps(said).encode()]
        self._refresh()
        return self._app(environ, start_response)

    def _refresh(self) -> None:
        """Read the study again where it has changed; one thread does, and the others show what there is."""
        if time.monotonic() - self._read_at < REFRESH_S or not self._lock.acquire(blocking=False):
            return
        try:
            state = self._state()
            if state is None or state != self._seen:
                self._app, self._seen = self._read(), state
        except StorageError as error:
            if str(error) != self._complaint:
                print(f"harness: {error}; the pages stay as they were", file=sys.stderr)
            self._complaint = str(error)
        finally:
            self._read_at = time.monotonic()
            self._lock.release()

    def _state(self) -> object:
        """Return what changes with the study; None where only reading it tells."""
        return signature(self._where) if isinstance(self._where, Path) else None

    def _read(self) -> WSGIApplication:
        snapshot = read_study(self._where, self._study)
        app: WSGIApplication = self._dashboard.wsgi(in_memory(snapshot, self._title, self._metrics))
        return app


def in_memory(snapshot: Snapshot, title: str, metrics: list[str]) -> InMemoryStorage:
    """Return a storage with one study: its trials, with what their records say as attributes.

    ``metrics`` names the objectives. Of the system's attributes only the limits that a trial broke are taken over.
    Raises :class:`StorageError` for a record that is damaged.
    """
    storage = InMemoryStorage()
    study = storage.create_new_study(snapshot.directions, title)
    if len(metrics) == len(snapshot.directions):
        # What `Study.set_metric_names` writes, which warns of being experimental.
        storage.set_study_system_attr(study, "study:metric_names", metrics)
    for trial in snapshot.trials:
        with damage(title, f"trial {trial.number}"):
            broken = {key: value for key, value in trial.system_attrs.items() if key.startswith(CONSTRAINT)}
            trial.system_attrs = {**broken, "constraints": list(broken.values())} if broken else {}
            trial.user_attrs = _told(trial)
            storage.create_new_trial(study, trial)
    return storage


def _told(trial: FrozenTrial) -> dict[str, Any]:
    """Return what a trial's record says that fits a table: outcome, reason, architecture, metrics, what it cost."""
    text = trial.user_attrs.get(RECORD)
    if not isinstance(text, str):
        return {}
    record, _ = decode(text)
    numbers = {**record.validation, "seconds": record.seconds, "epochs": record.epochs, **record.figures}
    return {
        "outcome": str(record.outcome),
        "reason": record.reason,
        "architecture": next(iter(record.candidate.get("architecture", {})), ""),
        **{name: value for name, value in numbers.items() if math.isfinite(value)},
    }


def _metrics(run: Path) -> list[str]:
    """Return the names of the objectives; empty where the space leaves them to the task, or cannot be read."""
    with suppress(InputError, StorageError):
        return list(load_spec(str(run / "space.yaml")).objective)
    return []
