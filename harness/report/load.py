"""Read a finished run folder; nothing is trusted until its schema has been checked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from harness.errors import InputError, SpecError, StorageError, did_you_mean
from harness.problems import LOSS, problems
from harness.records import FIGURES, NAN, TELEMETRY, Outcome
from harness.report.stats import AverageStats, Stats
from harness.spec import COST, Limits
from harness.spec.parameters import Range
from harness.spec.reader import read_yaml
from harness.store.files import first_fault, read_file, read_parquet
from harness.store.frames import PREDICTED_COLUMNS
from harness.store.parts import PARTS, part_files
from harness.store.run import changed_files, plain_files

T = TypeVar("T")


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
    limits: Limits
    """The limits in it."""
    ranges: Mapping[str, Range]
    """The ranges of the space, by the dotted paths of their parameters."""
    hardware: dict[str, Any]
    environment: dict[str, Any]
    parts: dict[int, dict[str, Any]]
    """Where and in what environment each part of the run was carried out, by its number; empty in older runs."""
    stats: Stats
    average: AverageStats | None = None
    """What the average of its best trials came to; None where none was made."""

    @property
    def log_sampled(self) -> frozenset[str]:
        """The parameters, by dotted path, that were sampled by their logarithm."""
        return frozenset(path for path, each in self.ranges.items() if each.log)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stats['task']['name']}: {len(self.trials):,} trials>"


SCHEMA_VERSIONS = (1, 2)
"""The first had columns for the metrics of every problem, the second has them for what was measured."""
PARAMETER = "param."
"""Prefix of the columns of searched parameters in ``trials.parquet``."""

_FRAMES = ("trials.parquet", "epochs.parquet", "telemetry.parquet", "predictions.parquet")
_AVERAGE = "ensemble/score.json"
_FILES = ("stats.json", _AVERAGE, *_FRAMES, "space.yaml", "hardware.json", "environment.json")
_FIX = "the run was cut short or copied in part: finish it with 'harness search --resume', or copy the folder again"
_TIMES = ("train_s", "validation_s", "train_samples_s")
"""Columns that are named as those of metrics are."""
_TRIAL_NUMBERS = ["trial", "value", "seed", "epochs", "best_epoch", "precision_ratio", "batch_size", "threads"]
_LATER_NUMBERS = ["micro_batch", "most_epochs", "shared_with", "lost_s", "attempts", "same_as"]
_LATER_NUMBERS += [
    "idle_power_w",
    "energy_j_per_sample",
    "epoch_s",
    "gate_s",
    "value_se",
    "value_sd",
    *PREDICTED_COLUMNS,
]
_LATER_METERS = ["cpu_pressure_percent", "memory_pressure_percent", "cpu_energy_j", "memory_reserved_mib"]
_LATER_METERS += ["power_instant_w", "pcie_rx_mb_s", "pcie_tx_mb_s"]
_LATER_TEXTS = ["threads_reason", "arm", "arm_reason"]
"""Columns that older versions did not write: empty where they are missing."""

_TRIAL_NUMBERS += [*(name for name in FIGURES if name not in _LATER_NUMBERS), "started_unix_s", "seconds"]
_TELEMETRY_NUMBERS = ["time_unix_s", "trial", *(name for name in TELEMETRY if name not in _LATER_METERS)]

_TRIAL_TEXTS = ["outcome", "reason", "architecture", "optimizer", "device", "precision", "precision_reason"]
_TRIAL_TEXTS += ["layout", "layout_reason", "data_path", "data_reason", "notes"]
_TRIAL_JSON: dict[str, type] = {"values": list, "candidate": dict, "params": dict, "reasons": dict}
_EPOCH_NUMBERS = ["trial", "epoch", "learning_rate", "gradient_norm"]
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
    space = _read(path / "space.yaml", lambda file: read_file(file).decode("utf-8"))
    data = _space(path / "space.yaml", space)
    stats = _stats(path / "stats.json")
    goals = [item["metric"] for item in stats["objective"] if item["metric"] not in COST]
    run = RunFiles(
        space=space,
        limits=_limits(path / "space.yaml", data),
        ranges=dict(_ranges(data.get("space"))),
        hardware=_mapping(path / "hardware.json"),
        environment=_mapping(path / "environment.json"),
        parts={number: _mapping(file) for number, file in part_files(path).items()},
        stats=stats,
        trials=_with_metrics(path / "trials.parquet", _trials(path / "trials.parquet"), goals),
        epochs=_with_metrics(
            path / "epochs.parquet", _frame(path / "epochs.parquet", numbers=_EPOCH_NUMBERS, texts=["note"]), goals
        ),
        telemetry=_frame(path / "telemetry.parquet", numbers=_TELEMETRY_NUMBERS, later=_LATER_METERS),
        predictions=_predictions(predictions) if predictions.exists() else None,
        average=_average(path / _AVERAGE) if (path / _AVERAGE).exists() else None,
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
        if (name in _FILES or name.startswith(f"{PARTS}/")) and (path / name).exists():
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
    if version not in SCHEMA_VERSIONS:
        raise StorageError(
            f"{file}: schema version {version!r}, this harness reads {' and '.join(map(str, SCHEMA_VERSIONS))}; "
            "use the version of harness that environment.json names"
        )
    try:
        stats = TypeAdapter(Stats).validate_python(contents)
    except ValidationError as error:
        raise _wrong(file, first_fault(error)) from error
    if (kind := stats["task"]["kind"]) not in problems:
        raise _wrong(file, f"task.kind: unknown problem {kind!r}{did_you_mean(kind, problems)}")
    return stats


def _average(file: Path) -> AverageStats:
    try:
        return TypeAdapter(AverageStats).validate_python(_mapping(file))
    except ValidationError as error:
        raise _wrong(file, first_fault(error)) from error


def _space(file: Path, text: str) -> dict[str, Any]:
    """Return the data of a space, unchecked: parts of it may need files that are not there any more."""
    try:
        data = read_yaml(text, str(file)).data
    except SpecError as error:
        raise StorageError(f"{error}; {_FIX}") from error
    return data if isinstance(data, dict) else {}


def _limits(file: Path, space: Mapping[str, Any]) -> Limits:
    try:
        return Limits.model_validate(space.get("limits") or {})
    except ValidationError as error:
        raise _wrong(file, f"limits: {first_fault(error)}") from error


def _ranges(node: object, path: str = "") -> Iterator[tuple[str, Range]]:
    """Yield the ranges of a space, each by its dotted path; what is none is no parameter that could be at an end."""
    if not isinstance(node, dict):
        return
    for kind in ("int", "float"):
        match node.get(kind):
            case [int() | float() as low, int() | float() as high] if -math.inf < low < high < math.inf:
                log, step = node.get("log") is True and low > 0, node.get("step")
                yield path, Range(kind == "int", low, high, log, step if isinstance(step, int | float) else None)
                return
    for key, item in node.items():
        yield from _ranges(item, f"{path}.{key}" if path else str(key))


def _frame(
    file: Path,
    *,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    later: Sequence[str] = (),
    later_texts: Sequence[str] = (),
) -> pd.DataFrame:
    frame = _read(file, read_parquet)
    missing: dict[str, float | str] = {**dict.fromkeys(later, NAN), **dict.fromkeys(later_texts, "")}
    frame = frame.assign(**{name: empty for name, empty in missing.items() if name not in frame.columns})
    for name in (*numbers, *texts):
        if name not in frame.columns:
            raise _wrong(file, f"has no column {name!r}")
    for name in (*numbers, *later):
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            raise _wrong(file, f"column {name!r} holds {frame[name].dtype}, not numbers")
    for name in (*texts, *later_texts):
        if not pd.api.types.is_string_dtype(frame[name]):
            raise _wrong(file, f"column {name!r} holds {frame[name].dtype}, not texts")
    return frame


def measured_metrics(frame: pd.DataFrame) -> list[str]:
    """Return the metrics that a frame of trials or epochs has columns for, in the order of the file."""
    columns = [name for name in frame.columns if name not in _TIMES]
    return [name.removeprefix("validation_") for name in columns if name.startswith("validation_")]


def _with_metrics(file: Path, frame: pd.DataFrame, goals: Sequence[str]) -> pd.DataFrame:
    """Check the columns of metrics, and add empty ones for what was measured on one part alone, or of no trial."""
    held = [name for name in frame.columns if name.startswith(("train_", "validation_"))]
    for name in (f"train_{LOSS}", f"validation_{LOSS}"):
        if name not in held:
            raise _wrong(file, f"has no column {name!r}")
    for name in held:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            raise _wrong(file, f"column {name!r} holds {frame[name].dtype}, not numbers")
    names = dict.fromkeys([*measured_metrics(frame), *goals])
    wanted = [f"{part}_{name}" for part in ("train", "validation") for name in names]
    return frame.assign(**{name: NAN for name in wanted if name not in frame.columns})


def value_suffixes(predictions: pd.DataFrame) -> list[str]:
    """Return what stands after ``target`` and ``predicted`` in the names of columns: "", or _NAME of several values."""
    several = [name.removeprefix("target") for name in predictions.columns if name.startswith("target_")]
    return [""] if "target" in predictions.columns or not several else several


def _predictions(file: Path) -> pd.DataFrame:
    suffixes = value_suffixes(_frame(file, numbers=["index"]))
    return _frame(
        file, numbers=["index", *(f"{what}{suffix}" for what in ("target", "predicted") for suffix in suffixes)]
    )


def _trials(file: Path) -> pd.DataFrame:
    texts = [*_TRIAL_TEXTS, *_TRIAL_JSON]
    frame = _frame(file, numbers=_TRIAL_NUMBERS, texts=texts, later=_LATER_NUMBERS, later_texts=_LATER_TEXTS)
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
