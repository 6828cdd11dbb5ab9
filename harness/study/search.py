"""A search from the spec to the run folder: what ``harness search`` and ``harness.search`` both do."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from optuna.storages import BaseStorage

from harness.data import load
from harness.errors import DataError, InputError, Interrupted
from harness.hardware import Sampler, choose_device, meters_for, probe, usable_cores
from harness.records import Outcome, TrialRecord
from harness.spec import Spec, canonical, load_spec, parameters, spec_hash
from harness.store import (
    RunFolder,
    check_run,
    close_database,
    environment,
    epochs_frame,
    open_database,
    read_json,
    to_parquet,
    trials_frame,
)
from harness.study import telemetry
from harness.study.check import check_spec
from harness.study.coordinator import Coordinator, Observer
from harness.study.evaluate import Evaluation, Evaluator
from harness.study.final import CHECKPOINT, Final, finish, save_weights
from harness.study.job import Job
from harness.study.objectives import resolve_objectives
from harness.study.rehearse import rehearse
from harness.study.stop import Stop
from harness.study.summary import best_trial, summarise

REFIT_MARGIN = 1.2
"""The time kept for the final refit is what the winner's training predicts, times this."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a search is asked to do."""

    spec: Spec
    device: str = "auto"
    out: Path = Path("results")
    resume: Path | None = None
    trust: bool = False
    argv: Sequence[str] = field(default_factory=lambda: tuple(sys.argv))


@dataclass(frozen=True, slots=True)
class Finished:
    """What a search left in its folder."""

    run: Path
    state: str
    """``complete`` or ``interrupted``."""
    stats: dict[str, Any]
    failure: str
    """How the first trial failed when none completed, else empty."""


def spec_to_resume(run: Path, space: str | None, overrides: Iterable[str]) -> Spec:
    """Return the spec of an earlier run, with a budget that the overrides may enlarge.

    ``space``, when given, must be the space of that run. Raises :class:`InputError` where anything that decides the
    trials differs.
    """
    check_run(run)
    original = load_spec(str(run / "space.yaml"))
    resumed = load_spec(space or str(run / "space.yaml"), overrides)
    if spec_hash(resumed) != spec_hash(original):
        changed = _differences(canonical(original), canonical(resumed))
        key = next(path for path in changed if path not in ("budget.trials", "budget.time"))
        raise InputError(
            f"{run}: cannot be resumed with another space: {key} differs; "
            "only budget.trials and budget.time may change. Start a new run for the changed space"
        )
    return resumed


def open_job(request: Request) -> Job:
    """Check everything that can be checked before anything is written: the space, the device, the data, each option.

    Raises :class:`InputError` or :class:`HardwareError`.
    """
    spec = request.spec
    check_spec(spec)
    device = choose_device(request.device)
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    dataset = load(spec.task, seed=spec.search.seed)
    if request.resume and read_json(request.resume / "status.json").get("fingerprint") != dataset.fingerprint:
        raise DataError(f"{request.resume}: cannot be resumed: the data of task {dataset.name!r} has changed since")
    job = Job(spec, dataset, device, resolve_objectives(spec, dataset.shape.kind), request.trust)
    rehearse(job)
    return job


def run_search(request: Request, job: Job, stop: Stop, observer: Observer) -> Finished:
    """Search to the total of trials, the end of the time, or a request to stop; leave everything in the run folder.

    The folder is not sealed yet: the report comes from a floor above. Raises :class:`StorageError`.
    """
    folder = RunFolder.open(request.resume) if request.resume else RunFolder.create(request.out, job.dataset.name)
    try:
        return _Part(request, job, folder, stop, observer).run()
    finally:
        folder.close()


class _Part:
    """One command's part of a search; a resumed search has several."""

    def __init__(self, request: Request, job: Job, folder: RunFolder, stop: Stop, observer: Observer) -> None:
        self._request = request
        self._job = job
        self._folder = folder
        self._stop = stop
        self._observer = observer
        self._started = time.monotonic()
        earlier = read_json(folder.file("status.json")) if request.resume else {}
        self._elapsed_s = float(earlier.get("elapsed_s", 0.0))
        self._test_opened = int(earlier.get("test_opened", 0))

    def run(self) -> Finished:
        """Do this part, and leave a state that tells how it ended."""
        self._set_state("running")
        self._describe()
        storage = open_database(self._folder.file("study.db"))
        try:
            with Sampler(meters_for(self._job.device)) as sampler:
                finished = self._search(storage, sampler)
        except BaseException:
            self._set_state("failed")
            raise
        finally:
            close_database(storage)
        self._set_state(finished.state)
        return finished

    def _search(self, storage: BaseStorage, sampler: Sampler) -> Finished:
        job, total = self._job, self._job.spec.total
        coordinator = Coordinator(job, self._folder, storage, Evaluator(job, sampler, self._stop), self._stop)
        best = best_trial(job, coordinator.records.values())
        for evaluation in coordinator.run(total, self._observer):
            telemetry.flush(self._folder, sampler, f"{evaluation.record.trial:06d}")
            if best_trial(job, coordinator.records.values()) is evaluation.record:
                best = evaluation.record
                self._keep(evaluation)
        final = self._finish(best) if best is not None else None
        telemetry.flush(self._folder, sampler, f"final-{self._test_opened}")
        self._write_frames(coordinator)
        stats = summarise(job, coordinator.records, final, total=total, elapsed_s=self._elapsed())
        self._folder.write_json("stats.json", stats)
        state = "interrupted" if self._stop.signal else "complete"
        return Finished(self._folder.path, state, stats, "" if best else _first_reason(coordinator.records))

    def _keep(self, evaluation: Evaluation) -> None:
        """Save the weights of the best trial so far, and set aside the time to refit it."""
        save_weights(self._folder, CHECKPOINT, evaluation.state)
        if self._job.spec.training.final == "refit":
            data, record = self._job.dataset, evaluation.record
            share = record.best_epoch / max(1, record.epochs)
            growth = 1 + len(data.validation) / len(data.train)
            self._stop.reserve_s = REFIT_MARGIN * record.seconds * share * growth

    def _finish(self, best: TrialRecord) -> Final | None:
        """Score the winner on the test samples, unless the user wants the run to end now."""
        if self._stop.signal:
            return None
        self._observer.final_started(self._job.spec.training.final, best.best_epoch)
        try:
            return finish(self._job, self._folder, best, self._stop, self._open_test)
        except Interrupted:
            return None

    def _open_test(self) -> int:
        """Count a look at the test samples before it happens, so that not even a crash hides it."""
        self._test_opened += 1
        self._set_state("running")
        return self._test_opened

    def _describe(self) -> None:
        """Write what is known before the first trial."""
        folder, job = self._folder, self._job
        folder.write("space.yaml", yaml.safe_dump(canonical(job.spec), sort_keys=False, allow_unicode=True))
        machine = probe(torch=True).as_dict(hide_ids=True)
        folder.write_json("hardware.json", {"device": str(job.device), **machine})
        folder.write_json("environment.json", environment(self._request.argv, Path.cwd()))
        split = [pd.DataFrame({"index": index, "part": part}) for part, index in job.dataset.split_index.items()]
        folder.write("splits.parquet", to_parquet(pd.concat(split, ignore_index=True)))

    def _write_frames(self, coordinator: Coordinator) -> None:
        frame = trials_frame(coordinator.records.values(), list(parameters(self._job.spec.group)))
        self._folder.write("trials.parquet", to_parquet(frame))
        self._folder.write("trials.csv", frame.to_csv(index=False, lineterminator="\n"))
        epochs = [epoch for trial in coordinator.epochs.values() for epoch in trial]
        self._folder.write("epochs.parquet", to_parquet(epochs_frame(epochs)))
        telemetry.gather(self._folder)

    def _set_state(self, state: str) -> None:
        self._folder.set_state(
            state,
            fingerprint=self._job.dataset.fingerprint,
            spec_sha256=spec_hash(self._job.spec),
            elapsed_s=self._elapsed(),
            test_opened=self._test_opened,
        )

    def _elapsed(self) -> float:
        return self._elapsed_s + time.monotonic() - self._started


def _first_reason(records: Mapping[int, TrialRecord]) -> str:
    for record in records.values():
        if record.outcome is not Outcome.COMPLETE:
            return f"trial {record.trial} {record.outcome}: {record.reason}"
    return "no trial was started"


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield the key paths at which two canonical specs part."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path
