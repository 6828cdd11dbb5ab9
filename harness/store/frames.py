"""Records as pandas frames with fixed columns and dtypes.

``trials`` ends with one ``param.<path>`` column per searched parameter. Both ``trials`` and ``epochs`` have two columns
for each metric of the problem, and of whatever else was measured; all other columns are the same for every run.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from harness.records import FIGURES, NAN, PREDICTED, TELEMETRY, EpochRecord, TelemetryRecord, TrialRecord
from harness.spec import Categorical, Parameter
from harness.spec.names import FITTED

PLAN_DTYPES = {
    "device": "string",
    "precision": "string",
    "precision_ratio": "float64",
    "precision_reason": "string",
    "batch_size": "Int64",
    "micro_batch": "Int64",
    "layout": "string",
    "layout_reason": "string",
    "data_path": "string",
    "data_reason": "string",
    "threads": "Int64",
    "threads_reason": "string",
    "arm": "string",
    "arm_reason": "string",
    "most_epochs": "Int64",
}

METRICS = "metrics"
"""Where the columns of the metrics stand: ``train_<metric>`` of each, then ``validation_<metric>``."""

PREDICTED_COLUMNS = tuple(f"predicted_{name}" for name in PREDICTED)
"""Columns of ``trials`` that hold what gates predicted, in the order of PREDICTED."""

TRIAL_DTYPES: Mapping[str, str] = {
    "trial": "int64",
    "outcome": "string",
    "reason": "string",
    "value": "float64",
    "values": "string",
    "architecture": "string",
    "optimizer": "string",
    "candidate": "string",
    "params": "string",
    "seed": "int64",
    "epochs": "int64",
    "best_epoch": "int64",
    METRICS: "float64",
    **PLAN_DTYPES,
    **dict.fromkeys(FIGURES, "float64"),
    **dict.fromkeys(PREDICTED_COLUMNS, "float64"),
    "notes": "string",
    "reasons": "string",
    "started_unix_s": "float64",
    "seconds": "float64",
    "shared_with": "Int64",
    "lost_s": "float64",
    "attempts": "Int64",
    "same_as": "Int64",
}

EPOCH_DTYPES: Mapping[str, str] = {
    "trial": "int64",
    "fold": "int64",
    "epoch": "int64",
    METRICS: "float64",
    "learning_rate": "float64",
    "gradient_norm": "float64",
    "train_s": "float64",
    "validation_s": "float64",
    "train_samples_s": "float64",
    "note": "string",
}

TELEMETRY_DTYPES: Mapping[str, str] = {
    "time_unix_s": "float64",
    "trial": "int64",
    **dict.fromkeys(TELEMETRY, "float64"),
}

TIMED_COLUMNS = (
    "precision_ratio",
    "precision_reason",
    "layout_reason",
    "data_reason",
    "threads_reason",
    "reasons",
    *(name for name in FIGURES if name not in ("parameters", "flops", "value_se", "value_sd")),
    *PREDICTED_COLUMNS,
    "started_unix_s",
    "seconds",
    "shared_with",
    "lost_s",
    "attempts",
)
"""Columns of ``trials`` that differ between two runs of one seed: times, what was measured or predicted of the machine,
and how often the run was cut off."""


def trials_frame(
    trials: Iterable[TrialRecord], parameters: Sequence[Parameter], metrics: Iterable[str] = ()
) -> pd.DataFrame:
    """Return one row per trial in the order of their numbers; ``metrics`` have columns whatever was measured."""
    trials = sorted(trials, key=lambda trial: trial.trial)
    dtypes = {
        **_with_metrics(TRIAL_DTYPES, metrics, trials),
        **{f"param.{parameter.path}": _dtype(parameter) for parameter in parameters},
    }
    return _frame([_trial_row(trial) for trial in trials], dtypes)


def epochs_frame(epochs: Iterable[EpochRecord], metrics: Iterable[str] = ()) -> pd.DataFrame:
    """Return one row per trial, fold and epoch; ``metrics`` have columns whatever was measured."""
    epochs = sorted(epochs, key=lambda epoch: (epoch.trial, epoch.fold, epoch.epoch))
    rows = [
        {
            "trial": epoch.trial,
            "fold": epoch.fold,
            "epoch": epoch.epoch,
            **_metrics("train", epoch.train),
            **_metrics("validation", epoch.validation),
            "learning_rate": epoch.learning_rate,
            "gradient_norm": epoch.gradient_norm,
            "train_s": epoch.train_s,
            "validation_s": epoch.validation_s,
            "train_samples_s": epoch.train_samples_s,
            "note": epoch.note,
        }
        for epoch in epochs
    ]
    return _frame(rows, _with_metrics(EPOCH_DTYPES, metrics, epochs))


def telemetry_frame(samples: Iterable[TelemetryRecord]) -> pd.DataFrame:
    """Return one row per sample of the meters."""
    rows = [(s.time_unix_s, s.trial, *(s.values.get(name, NAN) for name in TELEMETRY)) for s in samples]
    columns = np.array(rows, dtype=np.float64).reshape(-1, len(TELEMETRY_DTYPES)).T
    return pd.DataFrame(
        {name: each.astype(dtype) for each, (name, dtype) in zip(columns, TELEMETRY_DTYPES.items(), strict=True)}
    )


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Return the frame as a Parquet file; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _trial_row(trial: TrialRecord) -> dict[str, Any]:
    plan = trial.plan
    return {
        "trial": trial.trial,
        "outcome": str(trial.outcome),
        "reason": trial.reason,
        "value": trial.values[0] if trial.values else NAN,
        "values": json.dumps(list(trial.values)),
        "architecture": next(iter(trial.candidate.get("architecture", {})), ""),
        "optimizer": _optimizer(trial.candidate),
        "candidate": json.dumps(trial.candidate),
        "params": json.dumps(trial.params),
        "seed": trial.seed,
        "epochs": trial.epochs,
        "best_epoch": trial.best_epoch,
        **_metrics("train", trial.train),
        **_metrics("validation", trial.validation),
        **{name: getattr(plan, name) if plan else None for name in PLAN_DTYPES},
        "micro_batch": (plan.micro_batch or plan.batch_size) if plan else None,
        "most_epochs": (plan.most_epochs or None) if plan else None,
        **_named(trial.figures, FIGURES),
        **{f"predicted_{name}": trial.predicted.get(name, NAN) for name in PREDICTED},
        "notes": "; ".join(trial.notes),
        "reasons": json.dumps(dict(sorted(trial.reasons.items()))),
        "started_unix_s": trial.started_unix_s,
        "seconds": trial.seconds,
        "shared_with": trial.shared_with,
        "lost_s": trial.lost_s,
        "attempts": trial.attempts,
        "same_as": trial.same_as,
        **{f"param.{path}": value for path, value in trial.params.items()},
    }


def _optimizer(candidate: Mapping[str, Any]) -> str:
    """Return the optimiser, "" for a model that scikit-learn fits: none has a part in it."""
    architecture, params = next(iter(candidate.get("architecture", {}).items()), ("", {}))
    fitted = architecture in FITTED and "family" not in params
    return "" if fitted else next(iter(candidate.get("optimizer", {})), "")


def _dtype(parameter: Parameter) -> str:
    node = parameter.node
    if not isinstance(node, Categorical):
        return "Int64" if node.integer else "float64"
    if all(isinstance(choice, bool) for choice in node.choices):
        return "boolean"
    numeric = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in node.choices)
    return "float64" if numeric else "string"


def _metrics(part: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{part}_{metric}": value for metric, value in values.items()}


def _with_metrics(
    dtypes: Mapping[str, str], metrics: Iterable[str], records: Iterable[TrialRecord | EpochRecord]
) -> dict[str, str]:
    """Return the dtypes with the columns of metrics in their place: those that are named first, then what else is held.

    What was measured on validation alone has no column of training.
    """
    known = {part: dict.fromkeys(metrics) for part in ("train", "validation")}
    for record in records:
        known["train"].update(dict.fromkeys(record.train))
        known["validation"].update(dict.fromkeys(record.validation))
    columns = {f"{part}_{metric}": dtypes[METRICS] for part, names in known.items() for metric in names}
    items = ((columns.items() if name == METRICS else [(name, dtype)]) for name, dtype in dtypes.items())
    return dict(chain.from_iterable(items))


def _named(values: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    return {name: values.get(name, NAN) for name in names}


def _frame(rows: list[dict[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    columns = {
        name: pd.Series([_cell(row.get(name), dtype) for row in rows], dtype=dtype) for name, dtype in dtypes.items()
    }
    return pd.DataFrame(columns)


def _cell(value: Any, dtype: str) -> Any:
    if value is None:
        return NAN if dtype == "float64" else pd.NA
    return str(value) if dtype == "string" else value
