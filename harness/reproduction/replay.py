"""The trainings: a list of trials once more, by the plans that they had, and the final model made of the winner."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from harness.data import Given
from harness.errors import Interrupted, StorageError
from harness.plan.running import thread_count
from harness.problems.scoring import Function
from harness.records import Outcome, TrialRecord
from harness.reproduction.recorded import Recorded
from harness.spec import Averaged, Blended, Limits, Spec
from harness.store import RunFolder
from harness.store.files import read_file
from harness.study import Execution, Finished, Observer, Opened, Request, Stop
from harness.study.averaging.blending import Repeated
from harness.study.decide.fixed import Replicate
from harness.study.execute.execution import threads_of
from harness.study.final import Finisher
from harness.study.final.cost import epoch_seconds, final_cost_epochs
from harness.study.final.openings import note_opening
from harness.study.final.outcome import Earlier
from harness.study.final.saved import BEST, Saved
from harness.study.job import Job
from harness.study.keeping import weights_file
from harness.study.replicates import listed_spec

Display = Callable[[Spec, float], AbstractContextManager[Observer]]
"""Makes who watches a training, from its spec and the seconds that it took where it was recorded."""


@dataclass(frozen=True, slots=True)
class Means:
    """What trials are trained with here."""

    device: str
    out: Path
    trust: bool = False
    data: Given | None = None
    metrics: Mapping[str, Function] = field(default_factory=dict)
    argv: Sequence[str] = ()


def request_of(recorded: Recorded, replicates: Sequence[Replicate], means: Means) -> Request:
    """Return the request to train trials of a run once more, in this process.

    No clock ends them: a limit on time, latency or energy was kept where they were recorded.
    """
    spec = listed_spec(recorded.spec, len(replicates))
    budget = spec.budget.model_copy(update={"trial_time": None})
    return Request(
        spec=spec.model_copy(update={"limits": Limits(), "budget": budget}),
        device=means.device,
        out=means.out,
        trust=means.trust,
        execution=Execution(0),
        data=means.data,
        argv=means.argv,
        metrics=means.metrics,
        replicates=tuple(replicates),
        final=False,
    )


@dataclass(frozen=True, slots=True)
class Winner:
    """The winner of a run as it was trained again, with what its final model is made of."""

    recorded: Recorded
    opened: Opened
    place: int
    """Of its training in the list."""
    saved: Saved
    """What the run says of its final model."""
    counts: Mapping[int, int]
    """How often each training counts in it, by its place, where it is an average of trials."""

    @property
    def test(self) -> Mapping[str, Any] | None:
        """What the run says of its one look at the test samples; None where there was none."""
        test: Mapping[str, Any] | None = self.recorded.stats["test"]
        return test

    def complete(self, finished: Finished) -> bool:
        """Tell whether its training, and all that its final model averages, have come to their end."""
        records = [finished.records.get(place) for place in (self.place, *self.counts)]
        return all(record is not None and record.outcome is Outcome.COMPLETE for record in records)

    def make(self, finished: Finished, stop: Stop, observer: Observer) -> tuple[Finished, str]:
        """Make the final model; return why it was not made, or ``""``.

        The test samples are opened if they were, and that is logged in the folder of the training alone.
        """
        record = finished.records[self.place]
        job, dataset = self.opened.of_trial(record.seed)
        job = replace(job, spec=self._as_made(job.spec))
        if why := _no_time(job, record, stop):
            return finished, why
        # What a final model is depends on the time that is left: from here on there is no end to it.
        stop.end_s = math.inf
        folder = RunFolder.open(finished.run)
        try:
            number = self.recorded.best
            assert number is not None
            with thread_count(threads_of(job, 1)):
                plan = self.saved.plan if "plan" in self.saved.model_fields_set else None
                mixer = Repeated(job, folder, self.counts, finished.records)
                finisher = Finisher(job, dataset, folder, record, stop, observer, Earlier(number, plan), mixer=mixer)
                return self._scored(finished, finisher, folder, record), ""
        except Interrupted:
            folder.note(state="interrupted")
            return replace(finished, state="interrupted"), "asked to stop before the final model was made"
        finally:
            folder.close()

    def _as_made(self, spec: Spec) -> Spec:
        """Return the spec by which the final model is made as it was.

        What had no time or no memory then is not tried, and a threshold is chosen by the rule that last chose it.
        """
        threshold = self.saved.threshold.rule if self.saved.threshold else None
        training = spec.training.model_copy(update={"final": self._how(), "threshold": threshold})
        return spec.model_copy(update={"training": training})

    def _how(self) -> str | Averaged | Blended:
        asked, test, run = self.recorded.spec.training.final, self.test, self.recorded.run
        if isinstance(asked, Blended):  # of which trials, the counts say
            return asked
        if test is None:  # then no file says it
            weights = run / weights_file(self.saved.trial)
            kept = bool(self.recorded.listed) or _same_tensors(run / BEST / "model.safetensors", weights)
            return "keep" if kept else asked
        if not test["decision"] and test["final"] == "keep":
            return "keep"
        averaged = any(row["what"].startswith("average") for row in test["decision"])
        return "auto" if isinstance(asked, Averaged) and not averaged else asked

    def _scored(self, finished: Finished, finisher: Finisher, folder: RunFolder, record: TrialRecord) -> Finished:
        if self.test is None:
            finisher.make()
            return finished
        stats = {**finished.stats, "test": finisher.finish(lambda: note_opening(folder, [record])).as_dict()}
        folder.write_json("stats.json", stats)
        return replace(finished, stats=stats)


def _no_time(job: Job, record: TrialRecord, stop: Stop) -> str:
    needed_s, left_s = epoch_seconds(record) * final_cost_epochs(job, record), stop.deadline - time.monotonic()
    if needed_s <= left_s:
        return ""
    return f"no time for the final model: it takes up to {needed_s:.3g} s, and {max(left_s, 0.0):.3g} s are left"


def _same_tensors(one: Path, other: Path) -> bool:
    """Tell whether two files hold the same weights; one that is not there, or damaged, holds none."""
    try:
        held, there = (load(read_file(path, limit=None)) for path in (one, other))
    except (StorageError, SafetensorError):
        return False
    return held.keys() == there.keys() and all(torch.equal(tensor, there[name]) for name, tensor in held.items())
