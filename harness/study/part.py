"""One command's part of a search; a search that is resumed has several."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from optuna.storages import BaseStorage

from harness.errors import Interrupted
from harness.hardware import Sampler, meters_for, probe
from harness.records import Outcome, TrialRecord
from harness.spec import canonical, parameters, spec_hash
from harness.store import (
    RunFolder,
    close_database,
    environment,
    epochs_frame,
    open_database,
    read_json,
    to_parquet,
    trials_frame,
)
from harness.study import telemetry
from harness.study.coordinator import Coordinator, Observer
from harness.study.evaluate import Evaluator
from harness.study.final import Finisher, refit_epochs
from harness.study.job import Job
from harness.study.stop import Stop
from harness.study.summary import summarise

REFIT_MARGIN = 1.2
"""The time kept for the final refit is what the winner's training predicts, times this."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a search left in its folder."""

    run: Path
    state: str
    """``complete`` or ``interrupted``."""
    stats: dict[str, Any]
    failure: str
    """How the first trial failed when none completed, else empty."""


class SearchPart:
    """From the state of the run folder to its total of trials, the end of the time, or a request to stop."""

    def __init__(self, job: Job, folder: RunFolder, stop: Stop, observer: Observer, *, resumed: bool) -> None:
        self._job = job
        self._folder = folder
        self._stop = stop
        self._observer = observer
        self._started = time.monotonic()
        status = read_json(folder.file("status.json")) if resumed else {}
        self._elapsed_s = float(status.get("elapsed_s", 0.0))
        self._test_opened = int(status.get("test_opened", 0))
        scored = folder.file("stats.json")
        self._scored: Mapping[str, Any] = read_json(scored) if resumed and scored.is_file() else {}

    def run(self, argv: Sequence[str]) -> Finished:
        """Search, score the winner and write everything but the report; leave a state that tells how it ended."""
        self._set_state("running")
        self._observer.run_started(self._folder.path, self._job.dataset.notes)
        self._describe(argv)
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
        self._set_time_aside(coordinator.best)
        for record in coordinator.run(total, self._observer):
            telemetry.flush(self._folder, sampler, f"{record.trial:06d}")
            self._set_time_aside(coordinator.best)
        test = self._score(coordinator.best)
        telemetry.flush(self._folder, sampler, f"final-{self._test_opened}")
        self._write_frames(coordinator)
        stats = summarise(job, coordinator.records, coordinator.best, test, total=total, elapsed_s=self._elapsed())
        self._folder.write_json("stats.json", stats)
        state = "interrupted" if self._stop.signal else "complete"
        failure = "" if coordinator.best else _first_reason(coordinator.records)
        return Finished(self._folder.path, state, stats, failure)

    def _set_time_aside(self, best: TrialRecord | None) -> None:
        """Keep what the refit of the best trial so far will take."""
        if best is not None and self._job.spec.training.final == "refit":
            share = refit_epochs(self._job, best) / max(1, best.epochs)
            growth = 1 + len(self._job.dataset.validation) / len(self._job.dataset.train)
            self._stop.reserve_s = REFIT_MARGIN * best.seconds * share * growth

    def _score(self, best: TrialRecord | None) -> Mapping[str, Any] | None:
        """Look at the test samples once for a winner, unless the user wants the run to end now."""
        if best is None or self._stop.signal:
            return None
        earlier: Mapping[str, Any] | None = self._scored.get("test")
        if earlier and self._scored["best"]["trial"] == best.trial:
            return earlier
        self._observer.final_started(self._job.spec.training.final, refit_epochs(self._job, best))
        try:
            finisher = Finisher(self._job, self._folder, best, self._stop, self._observer.epoch_ended)
            return finisher.finish(self._open_test).as_dict()
        except Interrupted:
            return None

    def _open_test(self) -> int:
        """Count a look at the test samples before it happens, so that not even a crash hides it."""
        self._test_opened += 1
        self._set_state("running")
        return self._test_opened

    def _describe(self, argv: Sequence[str]) -> None:
        """Write what is known before the first trial."""
        folder, job = self._folder, self._job
        folder.unseal()
        folder.write("space.yaml", yaml.safe_dump(canonical(job.spec), sort_keys=False, allow_unicode=True))
        machine = probe(torch=True).as_dict(hide_ids=True)
        folder.write_json("hardware.json", {"device": str(job.device), **machine})
        folder.write_json("environment.json", environment(argv, Path.cwd()))
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
