"""What a run says of its trials. Nothing of the run is written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.errors import InputError, SpecError, StorageError
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.report import load_run
from harness.reproduction.levels import Unavailable
from harness.spec import Spec
from harness.store import StudyDatabase, decode
from harness.store.files import read_object
from harness.store.snapshot import copy_study
from harness.study.decide.fixed import Replicate
from harness.study.final.saved import BEST, Saved, read_saved
from harness.study.replicates import read_replicates
from harness.study.search import spec_of_run

REPLAYED = (Outcome.COMPLETE, Outcome.PRUNED)
"""Outcomes of trials that are trained again; of others there is nothing that a training should come to."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as its study has it."""

    params: Mapping[str, Any]
    record: TrialRecord
    epochs: Sequence[EpochRecord]


@dataclass(frozen=True)
class Recorded:
    """A run as its files have it."""

    run: Path
    spec: Spec
    stats: Mapping[str, Any]
    hardware: Mapping[str, Any]
    environment: Mapping[str, Any]
    trials: Mapping[int, Trial]
    listed: Sequence[Replicate]
    """What was trained instead of searching; empty for a search."""
    final: Saved | None
    """What ``best/`` says of the final model; None where there is none."""

    @property
    def best(self) -> int | None:
        """The winner."""
        return self.stats["best"]["trial"] if self.stats["best"] else None

    def trained(self, number: int) -> int:
        """Return the trial whose training a trial's result is."""
        earlier = self.trials[number].record.same_as
        return number if earlier is None else earlier

    @property
    def averaged(self) -> Mapping[int, int]:
        """How often each trial counts in the final model of the winner, where that is an average of trials."""
        final = self.final
        return {each.trial: each.count for each in final.members} if final and final.trial == self.best else {}

    def replicate(self, number: int) -> Replicate:
        """Return what is to be trained, and how, to come to a trial again."""
        record = self.trials[number].record
        split = self.listed[number].split if self.listed else None
        after = record.epochs if record.outcome is Outcome.PRUNED else None
        return Replicate(dict(record.params), record.seed, split, record.plan, after)


def read_recorded(run: Path) -> Recorded:
    """Read a run. Raises :class:`StorageError` where it is damaged, :class:`Unavailable` where a part is not here."""
    files = load_run(run)
    try:
        spec = spec_of_run(run)
    except SpecError as error:
        raise Unavailable(f"its space cannot be used here: {error}") from None
    stats = read_object(run / "stats.json")
    trials = read_trials(run, [each["direction"] for each in stats["objective"]])
    final = run / BEST / "candidate.json"
    saved = read_saved(final) if final.is_file() else None
    return Recorded(run, spec, stats, files.hardware, files.environment, trials, read_replicates(run), saved)


def read_trials(run: Path, directions: Sequence[str]) -> dict[int, Trial]:
    """Return the trials that have ended, from a copy of the study: SQLite writes to what it reads."""
    study = run / "study.db"
    if not study.is_file():
        raise Unavailable(
            f"{run}: its study is not in its folder but in a database; only runs with a file study.db are reproduced"
        )
    with TemporaryDirectory() as folder:
        copy = copy_study(study, Path(folder))
        try:
            with closing(StudyDatabase.open(copy, study="harness", directions=directions, create=False)) as database:
                stored = database.load()
        except StorageError as error:
            raise StorageError(str(error).replace(str(copy), str(study))) from None
    found = {}
    for each in stored:
        if each.record is not None:
            found[each.number] = Trial(each.params, *decode(each.record))
    return found


def chosen_trials(recorded: Recorded, trial: int | None, *, every: bool) -> list[int]:
    """Return the trials to be trained again. Raises :class:`InputError` where there is nothing to come to."""
    run, trials = recorded.run, recorded.trials
    if every:
        kept = [n for n, each in trials.items() if each.record.outcome in REPLAYED and each.record.same_as is None]
        if not kept:
            raise InputError(f"{run}: none of its trials was completed or pruned, so there is nothing to come to")
        return kept
    if trial is None:
        if recorded.best is None:
            raise InputError(f"{run}: has no winner; name one of its trials with trial (--trial N)")
        return list(dict.fromkeys([recorded.trained(recorded.best), *recorded.averaged]))
    if trial not in trials:
        raise InputError(f"{run}: has no trial {trial} that has ended; its trials are 0 to {max(trials, default=0)}")
    if (outcome := trials[trial].record.outcome) not in REPLAYED:
        raise InputError(f"{run}: trial {trial} ended as {outcome}; only complete and pruned trials are trained again")
    return [recorded.trained(trial)]
