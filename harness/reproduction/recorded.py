"""What a run says of its trials, and whether its files say the same of them. Nothing of the run is written to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from harness.data import derive_seed
from harness.errors import InputError, SpecError, StorageError
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.report import load_run
from harness.reproduction.levels import Check, Unavailable, same
from harness.spec import Spec, candidate_at, parameters
from harness.spec.candidate import completed
from harness.store import StudyDatabase, decode, epochs_frame, trials_frame
from harness.store.files import read_object, read_parquet
from harness.study.decide.fixed import Replicate
from harness.study.decide.suggest import locate
from harness.study.replicates import read_replicates
from harness.study.search import spec_of_run
from harness.text import plain

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

    @property
    def best(self) -> int | None:
        """The winner."""
        return self.stats["best"]["trial"] if self.stats["best"] else None

    def trained(self, number: int) -> int:
        """Return the trial whose training a trial's result is."""
        earlier = self.trials[number].record.same_as
        return number if earlier is None else earlier

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
    return Recorded(run, spec, stats, files.hardware, files.environment, trials, read_replicates(run))


def read_trials(run: Path, directions: Sequence[str]) -> dict[int, Trial]:
    """Return the trials that have ended, from a copy of the study: SQLite writes to what it reads."""
    study = run / "study.db"
    if not study.is_file():
        raise Unavailable(
            f"{run}: its study is not in its folder but in a database; only runs with a file study.db are reproduced"
        )
    with TemporaryDirectory() as folder:
        copy = Path(folder) / study.name
        for path in run.glob("study.db*"):
            shutil.copyfile(path, copy.with_name(path.name))
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
        return [recorded.trained(recorded.best)]
    if trial not in trials:
        raise InputError(f"{run}: has no trial {trial} that has ended; its trials are 0 to {max(trials, default=0)}")
    if (outcome := trials[trial].record.outcome) not in REPLAYED:
        raise InputError(f"{run}: trial {trial} ended as {outcome}; only complete and pruned trials are trained again")
    return [recorded.trained(trial)]


def record_checks(recorded: Recorded, number: int) -> list[Check]:
    """Return whether the files of a run say the same of a trial."""
    trial = recorded.trials[number]
    record = trial.record
    checks = [
        *_by_key("study.db: parameters, and in the trial's record", trial.params, record.params),
        *_candidate(recorded.spec, record),
        Check.of("seed, by the rule of the run and as recorded", _seed(recorded, number), record.seed),
    ]
    frames = {
        "trials.parquet": trials_frame([record], list(parameters(recorded.spec.group))),
        "epochs.parquet": epochs_frame(trial.epochs),
    }
    for name, expected in frames.items():
        rows = read_parquet(recorded.run / name)
        checks += _agreement(name, rows[rows["trial"] == number], expected)
    best = recorded.stats["best"]
    if best is not None and recorded.trained(best["trial"]) == number:
        for name in ("params", "values", "validation"):
            what = f"stats.json: {name} of the winner, and in the study"
            checks += [Check.of(what, best[name], getattr(record, name))] if name in best else []
    return checks


def _seed(recorded: Recorded, number: int) -> int:
    if recorded.listed:
        return recorded.listed[number].seed
    return derive_seed(recorded.spec.search.seed, "trial", number)


def _candidate(spec: Spec, record: TrialRecord) -> list[Check]:
    what = "candidate as recorded, and by its parameters"
    try:
        locate(spec.group, record.params)
    except ValueError as error:
        return [Check(what, dict(record.params), f"no point of the space: {error}", equal=False)]
    return _by_key(what, completed(record.candidate), candidate_at(spec, record.params).as_dict())


def _by_key(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Check]:
    """Return the checks of what differs in nested mappings, by its path, or that nothing does."""
    apart = list(_apart(what, plain(one), plain(other)))
    return apart or [Check(what, plain(one), plain(other), equal=True)]


def _apart(what: str, one: Any, other: Any) -> Iterator[Check]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            yield from _apart(f"{what}: {key}", one.get(key), other.get(key))
    elif one != other:
        yield Check(what, one, other, equal=False)


def _agreement(name: str, rows: pd.DataFrame, expected: pd.DataFrame) -> list[Check]:
    """Return what a table and the study say otherwise, or that they agree."""
    if len(rows) != len(expected):
        return [Check(f"{name}: rows, and by the study", len(rows), len(expected), equal=False)]
    apart = list(_differences(name, rows.reset_index(drop=True), expected))
    return apart or [Check(f"{name} and the study", len(rows), len(expected), equal=True)]


def _differences(name: str, rows: pd.DataFrame, expected: pd.DataFrame) -> Iterator[Check]:
    for place in range(len(rows)):
        for column in expected.columns.intersection(rows.columns):
            told, known = (_plain(frame[column].iloc[place]) for frame in (rows, expected))
            if not same(told, known):
                epoch = f", epoch {expected['epoch'].iloc[place]}" if "epoch" in expected else ""
                yield Check(f"{name}{epoch}: {column}, and in the study", told, known, equal=False)


def _plain(cell: Any) -> Any:
    """Return a cell without pandas' and NumPy's types."""
    if pd.isna(cell):
        return None
    return cell.item() if hasattr(cell, "item") else cell
