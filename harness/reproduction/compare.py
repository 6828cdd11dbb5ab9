"""A trial, and a final model, beside what a second training came to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records import EpochRecord, TrialRecord
from harness.reproduction.levels import Check, Level
from harness.reproduction.recorded import Trial
from harness.reproduction.tolerance import Tolerance
from harness.spec import COST
from harness.store import sha256_file
from harness.store.files import read_object, read_parquet
from harness.study.final import residuals
from harness.study.final.saved import BEST, VALIDATION, Saved, read_saved
from harness.study.keeping import weights_file
from harness.text import plain

PREDICTIONS = "predictions.parquet"
WEIGHTS, FITTED, CANDIDATE = (
    f"{BEST}/{name}" for name in ("model.safetensors", "preprocessing.json", "candidate.json")
)
RESIDUALS = f"{BEST}/{residuals.FILE}"


def compare_trial(
    old: Trial, new: Trial, folders: tuple[Path, Path], metrics: Sequence[str], tolerance: Tolerance
) -> tuple[Level | None, list[Check]]:
    """Return how far the training of a trial came to the same, with what shows it; None: too far, but not otherwise.

    ``folders`` are the runs of both, ``metrics`` those of the objectives.
    """
    course = [
        Check.of("outcome", str(old.record.outcome), str(new.record.outcome)),
        Check.of("epochs", old.record.epochs, new.record.epochs),
    ]
    measured = [
        *_epochs(old.epochs, new.epochs, tolerance),
        Check.of("best epoch", old.record.best_epoch, new.record.best_epoch),
        *_of_record(old.record, new.record, metrics, tolerance),
    ]
    weights = [
        Check.of(f"sha256 of {file}", sha256_file(folder / file), sha256_file(found))
        for folder, file in [(folders[0], weights_file(old.record.trial))]
        if (folder / file).is_file() and (found := folders[1] / weights_file(new.record.trial)).is_file()
    ]
    ends = weights or _last_losses(old.epochs, new.epochs)
    return _level(course, measured, weights, ends), [*course, *measured, *weights]


def compare_final(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, folders: tuple[Path, Path], tolerance: Tolerance
) -> tuple[Level | None, list[Check]]:
    """Return how far a final model came to the same; ``old`` and ``new`` are what ``stats.json`` says of its test."""
    course = [_digests(f"sha256 of what {FITTED} says", *(read_object(folder / FITTED) for folder in folders))]
    told, found = (read_saved(folder / CANDIDATE) for folder in folders)
    measured = [_temperature(told, found, tolerance)]
    weights = [Check.of(f"sha256 of {WEIGHTS}", *(_sha256(folder / WEIGHTS) for folder in folders))]
    if old and new:
        course = [*(Check.of(f"final model: {name}", old[name], new[name]) for name in ("final", "members")), *course]
        measured += tolerance.compare("test ", "test", old["metrics"], new["metrics"])
    if weights[0].equal:  # of other weights there are other answers, and what follows from them
        course += _following(told, found, folders)
    return _level(course, measured, weights, weights), [*course, *measured, *weights]


def _temperature(old: Saved, new: Saved, tolerance: Tolerance) -> Check:
    pair = old.temperature, new.temperature
    return Check("final model: temperature", *pair, pair[0] == pair[1], tolerance.relative * pair[0])


def _following(old: Saved, new: Saved, folders: tuple[Path, Path]) -> Iterator[Check]:
    """Yield the checks of what follows from the answers of a model; an earlier version wrote less of it."""
    for name in ("isotonic", "threshold"):
        pair = (each.model_dump()[name] for each in (old, new))
        yield Check.of(f"final model: {name}", *map(plain, pair))
    if (folders[0] / RESIDUALS).is_file():
        yield _digests(f"sha256 of what {RESIDUALS} says", *(read_object(folder / RESIDUALS) for folder in folders))
    for name in (VALIDATION, PREDICTIONS):
        if (folders[0] / name).is_file():
            yield _table(name, folders)


def _level(
    course: Sequence[Check], measured: Sequence[Check], weights: Sequence[Check], ends: Sequence[Check]
) -> Level | None:
    """Return the level that checks speak for; None where metrics lie too far apart.

    Rounding that differs does not heal: where a training parted from the other, its weights do too. So metrics that
    differ before equal weights, and weights that differ after equal metrics, are something else than rounding.
    """
    alike = all(check.equal for check in measured)
    if all(check.equal for check in course) and alike and all(check.equal for check in weights):
        return Level.EXACT
    if alike or all(check.equal for check in ends):
        return Level.MISMATCH
    near = all(check.equal for check in course) and all(check.close for check in measured)
    return Level.TOLERANCE if near else None


def _epochs(old: Sequence[EpochRecord], new: Sequence[EpochRecord], tolerance: Tolerance) -> list[Check]:
    """Return a check for each metric of an epoch that differs, or that all are equal."""
    apart = [check for pair in zip(old, new, strict=False) for check in _of_epoch(*pair, tolerance) if not check.equal]
    return apart or [_digests(f"metrics of {len(old)} epochs, sha256", _facts(old), _facts(new))]


def _of_epoch(old: EpochRecord, new: EpochRecord, tolerance: Tolerance) -> Iterator[Check]:
    where = f"epoch {old.epoch}" if old.fold == new.fold == 1 else f"fold {old.fold}, epoch {old.epoch}"
    for name in ("learning_rate", "gradient_norm"):
        pair = getattr(old, name), getattr(new, name)
        yield Check(f"{where}: {name}", *pair, plain(pair[0]) == plain(pair[1]), tolerance.relative * abs(pair[0]))
    yield from tolerance.compare(f"{where}: training ", "train", old.train, new.train)
    yield from tolerance.compare(f"{where}: validation ", "validation", old.validation, new.validation)


def _of_record(old: TrialRecord, new: TrialRecord, metrics: Sequence[str], tolerance: Tolerance) -> list[Check]:
    """Return the checks of what a trial is judged by; what a clock or a meter told is nothing to come to again."""
    values = {name: value for name, value in zip(metrics, old.values, strict=False) if name not in COST}
    found = {name: value for name, value in zip(metrics, new.values, strict=False) if name not in COST}
    return [
        *tolerance.compare("value ", "validation", values, found),
        *tolerance.compare("training ", "train", old.train, new.train),
        *tolerance.compare("validation ", "validation", old.validation, new.validation),
        Check.of("parameters of the model", old.figures.get("parameters"), new.figures.get("parameters")),
    ]


def _last_losses(old: Sequence[EpochRecord], new: Sequence[EpochRecord]) -> list[Check]:
    """Return the check of the last training loss, where no weights were kept."""
    pair = (epochs[-1].train.get("loss") if epochs else None for epochs in (old, new))
    return [Check.of("last training loss", *pair)]


def _facts(epochs: Sequence[EpochRecord]) -> list[Any]:
    return [[each.train, each.validation, each.learning_rate, each.gradient_norm] for each in epochs]


def _digests(what: str, told: Any, found: Any) -> Check:
    """Return the check of what is told; a later version may say more."""
    digests = (
        hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()
        for each in (plain(told), _limited(plain(found), plain(told)))
    )
    return Check.of(what, *digests)


def _limited(found: Any, told: Any) -> Any:
    """Return what was found, without keys that are not told."""
    if isinstance(told, Mapping) and isinstance(found, Mapping):
        return {key: _limited(found.get(key), value) for key, value in told.items()}
    if isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        return [_limited(*pair) for pair in zip(found, told, strict=True)]
    return found


def _sha256(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def _table(name: str, folders: tuple[Path, Path]) -> Check:
    """Return the check of a table, whatever version of Parquet its files are in."""
    told, found = (_sha256(folder / name) for folder in folders)
    if told is None or found is None or told == found:
        return Check.of(f"{name}: sha256", told, found)
    one, other = (read_parquet(folder / name) for folder in folders)
    return Check(f"{name}: sha256 of the file, equal where its rows are", told, found, equal=one.equals(other))
