"""What is known of a trial while it is trained, and the record that it leaves."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median

import numpy as np

from harness.hardware import Sampler
from harness.records import FIGURES, MEMORY_METERS, NAN, EpochRecord, Figures, Outcome, Plan, TrialRecord
from harness.study.contract import Assignment
from harness.study.folds import best_epochs, means
from harness.study.objectives import Objective
from harness.study.trial.carried import Carried, joined
from harness.study.trial.gates import Gates
from harness.study.trial.share import Share


@dataclass(frozen=True, slots=True)
class End:
    """How a stretch ended."""

    outcome: Outcome
    reason: str
    traceback: str = ""


@dataclass(slots=True)
class Progress:
    """What is known of a trial so far, so that an early end keeps it."""

    assignment: Assignment
    sampler: Sampler
    gates: Gates
    """What predicts it."""
    batch: int
    """Samples of a whole batch."""
    share: Share = field(default_factory=Share)
    """Its part of what the program takes that trains it, which all that are trained in it hold together."""
    started: float = field(default_factory=time.perf_counter)
    started_unix_s: float = field(default_factory=time.time)
    carried: Carried | None = None
    """Where the stretch went on from."""
    epochs: list[EpochRecord] = field(default_factory=list)
    fold: int = 1
    """The one that is being trained."""
    plan: Plan | None = None
    figures: Figures = field(default_factory=Figures)
    notes: list[str] = field(default_factory=list)
    weights: bytes = b""
    """Of the best epoch of a trial that is complete."""
    outputs: list[np.ndarray] = field(default_factory=list)
    """What the best epoch of each fold predicts of its validation samples; of repeats, that of the last."""
    checkpoint: bytes = b""
    """To go on from, when the stretch ended at a rung."""

    @property
    def seconds(self) -> float:
        """Device-seconds behind what is known: of this stretch, and of those that its checkpoint stands for."""
        elapsed_s = self.share.of("seconds", time.perf_counter() - self.started)
        return elapsed_s + (self.carried.seconds if self.carried else 0.0)

    @property
    def trained_s(self) -> float:
        """Seconds of the epochs so far, with their validation."""
        return sum(_seconds(epoch) for epoch in self.epochs)

    def known(self) -> Figures:
        """Return all figures as they are now."""
        return self.metered() | self.figures | self._peaks() | self._timed()

    def energy_per_sample(self, start_unix_s: float, samples: int) -> Figures:
        """Return ``energy_j_per_sample`` of so many samples that were trained on since a time."""
        energy = self.share.divided(self.sampler.window(start_unix_s, max(time.time(), start_unix_s)))
        name, value = "energy_j_per_sample", energy.values["energy_j"]
        if not samples:
            return Figures.missing("no sample was trained on", name)
        reason = energy.reasons.get("energy_j")
        return Figures({name: value / samples}, {name: reason} if reason else {})

    def _peaks(self) -> Figures:
        """Return the memory that the trial peaked at in any of its stretches."""
        known = (self.carried.metered.values if self.carried else {}, self.figures.values)
        peaks = {name: [v for values in known if (v := values.get(name, NAN)) == v] for name in MEMORY_METERS}
        return Figures({name: max(values) for name, values in peaks.items() if values})

    def metered(self) -> Figures:
        """Return the meters' figures from the trial's start to now."""
        now = max(time.time(), self.started_unix_s)  # the clock may have been set back
        figures = self.share.divided(self.sampler.window(self.started_unix_s, now))
        if self.carried is None:
            return figures
        return joined(self.carried.metered, self.carried.seconds, figures, now - self.started_unix_s)

    def take_up(self, carried: Carried) -> None:
        """Go on from there; the epochs that led there are still to be reported."""
        self.carried = carried
        self.notes += carried.notes
        self.gates.predicted = dict(carried.predicted)
        self.gates.seconds += carried.gate_s

    def carry(self) -> Carried:
        """Return what a checkpoint made now carries."""
        assert self.plan is not None
        return Carried(
            plan=self.plan,
            epochs=self.epochs,
            seconds=self.seconds,
            started_unix_s=self._begun_unix_s,
            metered=self.metered() | self._peaks(),
            notes=self.notes,
            predicted=self.gates.predicted,
            gate_s=self.gates.seconds,
        )

    def restart(self) -> None:
        """Forget a try that ran out of memory; its time counts."""
        self.epochs, self.outputs, self.plan, self.fold, self.carried = [], [], None, 1, None

    def record(self, end: End, objectives: Sequence[Objective]) -> TrialRecord:
        """Return the record of the trial as it is now.

        A value that nobody could measure makes a complete trial a crash.
        """
        assignment, carried = self.assignment, self.carried
        best = best_epochs(objectives[0], self.epochs)
        seconds = self.seconds
        figures = self.known()
        record = TrialRecord(
            trial=assignment.trial,
            outcome=end.outcome,
            reason=end.reason,
            candidate=assignment.candidate.as_dict(),
            params=assignment.params,
            seed=assignment.seed,
            epochs=len(self.epochs),
            best_epoch=int(fmean(epoch.epoch for epoch in best) + 0.5) if best else 0,
            train=means([epoch.train for epoch in best]),
            validation=means([epoch.validation for epoch in best]),
            plan=self.plan,
            figures={name: figures.values[name] for name in FIGURES if name in figures.values},
            predicted=dict(self.gates.predicted),
            reasons={name: text for name, text in figures.reasons.items() if name in FIGURES},
            notes=self._noticed(),
            started_unix_s=self._begun_unix_s,
            seconds=seconds,
            shared_with=self.share.members - 1,
            lost_s=max(0.0, assignment.spent_s - (carried.seconds if carried else 0.0)),
            attempts=assignment.attempt,
        )
        return _with_values(record, objectives) if end.outcome is Outcome.COMPLETE else record

    def _timed(self) -> Figures:
        """Return the figures that are times of its parts."""
        seconds = [_seconds(epoch) for epoch in self.epochs]
        epoch = Figures({"epoch_s": median(seconds)}) if seconds else Figures.missing("no epoch has ended", "epoch_s")
        return epoch | Figures({"gate_s": self.gates.seconds})

    @property
    def _begun_unix_s(self) -> float:
        return min(self.carried.started_unix_s, self.started_unix_s) if self.carried else self.started_unix_s

    def _noticed(self) -> tuple[str, ...]:
        """Return the notes, each once."""
        notes = list(self.notes)
        if self.plan and 0 < self.plan.micro_batch < self.batch:
            notes.append(f"out of memory with a batch of {self.batch}: trained in parts of {self.plan.micro_batch}")
        return tuple(dict.fromkeys([*notes, *(epoch.note for epoch in self.epochs if epoch.note)]))


def _seconds(epoch: EpochRecord) -> float:
    return epoch.train_s + (0.0 if math.isnan(epoch.validation_s) else epoch.validation_s)


def _with_values(record: TrialRecord, objectives: Sequence[Objective]) -> TrialRecord:
    values = tuple(objective.value(record.validation, record.figures) for objective in objectives)
    for objective, value in zip(objectives, values, strict=True):
        if not math.isfinite(value):
            where = record.plan.device if record.plan else "this device"
            reason = f"objective {objective.metric} could not be measured on {where}"
            return replace(record, outcome=Outcome.CRASHED, reason=reason)
    return replace(record, values=values)
