"""Read a finished run folder; nothing is trusted until its schema has been checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypeVar

import pandas as pd
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import InputError, StorageError
from harness.records import FIGURES, METRICS, NAN, TELEMETRY, Outcome, TaskKind
from harness.store.files import read_file, read_parquet
from harness.store.run import changed_files, plain_files

Scores = dict[str, float | None]
T = TypeVar("T")


class TaskStats(TypedDict):
    """What was learned: the data and its split."""

    name: str
    kind: TaskKind
    classes: list[str]
    train: int
    validation: int
    test: int
    fingerprint: str
    notes: list[str]


class ObjectiveStats(TypedDict):
    """One objective; ``direction`` is ``maximize`` or ``minimize``."""

    metric: str
    direction: str


class SearchStats(TypedDict):
    """How the space was searched; ``size`` is null where a parameter is continuous."""

    sampler: str
    pruner: str
    seed: int
    trials: int
    size: float | None


class BestStats(TypedDict):
    """The winner; ``pareto`` lists the front when there are several objectives."""

    trial: int
    candidate: dict[str, Any]
    params: dict[str, Any]
    validation: Scores
    pareto: list[int]


PerClass = TypedDict(
    "PerClass",
    {
        "class": list[str],
        "precision": list[float | None],
        "recall": list[float | None],
        "f1": list[float | None],
        "support": list[int],
    },
)
"""Test scores of each class, one list position a class."""


class TestStats(TypedDict):
    """The winner on the test part; ``confusion`` has actual classes as rows and predicted ones as columns."""

    final: str
    note: NotRequired[str]
    opened: int
    metrics: Scores
    per_class: PerClass | None
    confusion: list[list[int]] | None
    interval: NotRequired[dict[str, tuple[float | None, float | None]] | None]


class Stats(TypedDict):
    """The contents of ``stats.json``."""

    schema_version: int
    task: TaskStats
    objective: list[ObjectiveStats]
    search: SearchStats
    elapsed_s: float | None
    outcomes: dict[str, int]
    seconds_by_outcome: dict[str, float | None]
    best: BestStats | None
    test: TestStats | None


@dataclass(frozen=True)
class RunFiles:
    """The files of a run folder as they were read; frames keep the columns of the files."""

    trials: pd.DataFrame
    epochs: pd.DataFrame
    telemetry: pd.DataFrame
    predictions: pd.DataFrame | None
    """None when the run has no winner."""
    space: str
    """The text of ``space.yaml``."""
    hardware: dict[str, Any]
    environment: dict[str, Any]
    stats: Stats


SCHEMA_VERSION = 1
PARAMETER = "param."
"""Prefix of the columns of searched parameters in ``trials.parquet``."""

_FRAMES = ("trials.parquet", "epochs.parquet", "telemetry.parquet", "predictions.parquet")
_FILES = ("stats.json", *_FRAMES, "space.yaml", "hardware.json", "environment.json")
_FIX = "the run was cut short or copied in part: finish it with 'harness search --resume', or copy the folder again"
_SCORES = [f"{part}_{metric}" for part in ("train", "validation") for metric in METRICS]
_TRIAL_NUMBERS = ["trial", "value", "seed", "epochs", "best_epoch", "precision_ratio", "batch_size", "threads"]
_TRIAL_NUMBERS += [*_SCORES, *FIGURES, "started_unix_s", "seconds"]
_LATER_NUMBERS = ("micro_batch", "lost_s", "attempts", "same_as")
"""Columns that older versions did not write: empty where they are missing."""

_TRIAL_TEXTS = ["outcome", "reason", "architecture", "optimizer", "device", "precision", "precision_reason"]
_TRIAL_TEXTS += ["layout", "layout_reason", "data_path", "data_reason", "notes"]
_TRIAL_JSON: dict[str, type] = {"values": list, "candidate": dict, "params": dict, "reasons": dict}
_EPOCH_NUMBERS = ["trial", "epoch", *_SCORES, "learning_rate", "gradient_norm"]
_EPOCH_NUMBERS += ["train_s", "validation_s", "train_samples_s"]


def load_run(path: Path) -> RunFiles:
    """Read and check the run folder ``path``.

    Raises :class:`InputError` when it is not a run folder, and :class:`StorageError`, naming the file and the fix,
    when one of its files is missing, truncated or of another schema.
    """
    if not any((path / name).is_file() for name in ("stats.json", "trials.parquet", "space.yaml")):
        raise InputError(
            f"{path}: not a run folder (no stats.json, trials.parquet or space.yaml); name one of results/"
        )
    plain_files(path)
    _check_seal(path)
    predictions = path / "predictions.parquet"
    run = RunFiles(
        space=_read(path / "space.yaml", lambda file: read_file(file).decode("utf-8")),
        hardware=_mapping(path / "hardware.json"),
        environment=_mapping(path / "environment.json"),
        stats=_stats(path / "stats.json"),
        trials=_trials(path / "trials.parquet"),
        epochs=_frame(path / "epochs.parquet", numbers=_EPOCH_NUMBERS, texts=["note"]),
        telemetry=_frame(path / "telemetry.parquet", numbers=["time_unix_s", "trial", *TELEMETRY]),
        predictions=_frame(predictions, numbers=["index", "target", "predicted"]) if predictions.exists() else None,
    )
    best = run.stats["best"]
    if best is not None and best["trial"] not in set(run.trials["trial"]):
        raise _wrong(path / "stats.json", f"its best trial {best['trial']} is not in trials.parquet")
    return run


def decoded(column: pd.Series) -> list[Any]:
    """Return the values of a column of JSON texts."""
    return [json.loads(text) for text in column]


def parameter_columns(trials: pd.DataFrame) -> list[str]:
    """Return the columns of the searched parameters, in the order of the file."""
    return [name for name in trials.columns if name.startswith(PARAMETER)]


def _wrong(file: Path, what: str) -> StorageError:
    return StorageError(f"{file}: {what}; {_FIX}")


def _check_seal(path: Path) -> None:
    """Refuse what is not what the run was sealed with: a space that was cut off may still be read as one."""
    for name in changed_files(path):
        if name in _FILES and (path / name).exists():
            raise _wrong(path / name, "not the file that manifest.json was sealed with (its sha256 differs)")


def _read(file: Path, parse: Callable[[Path], T]) -> T:
    """Parse one file, with its name on whatever is wrong with it."""
    if not file.exists():
        raise _wrong(file, "missing")
    try:
        return parse(file)
    except StorageError as error:
        raise StorageError(f"{error}; {_FIX}") from error
    except (ValueError, RecursionError) as error:
        raise _wrong(file, f"cannot be read ({error})") from error


def _mapping(file: Path) -> dict[str, Any]:
    contents = _read(file, lambda path: json.loads(read_file(path).decode("utf-8")))
    if not isinstance(contents, dict):
        raise _wrong(file, "is not a JSON object")
    return contents


def _stats(file: Path) -> Stats:
    contents = _mapping(file)
    version = contents.get("schema_version")
    if version != SCHEMA_VERSION:
        raise StorageError(
            f"{file}: schema version {version!r}, this harness reads {SCHEMA_VERSION}; "
            "use the version of harness that environment.json names"
        )
    try:
        return TypeAdapter(Stats).validate_python(contents)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])
        raise _wrong(file, f"{where}: {first['msg']}") from error


def _frame(file: Path, *, numbers: Sequence[str], texts: Sequence[str] = (), later: Sequence[str] = ()) -> pd.DataFrame:
    frame = _read(file, read_parquet)
    frame = frame.assign(**{name: NAN for name in later if name not in frame.columns})
    for name in (*numbers, *texts):
        if name not in frame.columns:
            raise _wrong(file, f"has no column {name!r}")
    for name in (*numbers, *later):
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            raise _wrong(file, f"column {name!r} holds {frame[name].dtype}, not numbers")
    for name in texts:
        if not pd.api.types.is_string_dtype(frame[name]):
            raise _wrong(file, f"column {name!r} holds {frame[name].dtype}, not texts")
    return frame


def _trials(file: Path) -> pd.DataFrame:
    frame = _frame(file, numbers=_TRIAL_NUMBERS, texts=[*_TRIAL_TEXTS, *_TRIAL_JSON], later=_LATER_NUMBERS)
    for name, kind in _TRIAL_JSON.items():
        try:
            sound = all(isinstance(value, kind) for value in decoded(frame[name]))
        except (TypeError, ValueError, RecursionError):
            sound = False
        if not sound:
            raise _wrong(file, f"column {name!r} does not hold a JSON {kind.__name__} in every row")
    unknown = sorted(set(frame["outcome"]) - set(Outcome))
    if unknown:
        raise _wrong(file, f"column 'outcome' holds {unknown[0]!r}; known: {', '.join(Outcome)}")
    return frame.sort_values("trial", ignore_index=True)
