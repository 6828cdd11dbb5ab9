"""What trackers are told of a run, its trials and epochs, and under which names; docs/tracking.md lists these."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records import EpochRecord, TrialRecord
from harness.spec.reader import read_yaml
from harness.store import read_object, read_status
from harness.store.files import is_file, read_file
from harness.store.runs import DESIGN, named

_OF_AN_EPOCH = ("learning_rate", "gradient_norm", "train_s", "validation_s", "train_samples_s")
_PLAN = ("device", "precision", "layout", "data_path", "batch_size", "micro_batch", "threads")


@dataclass(frozen=True, slots=True)
class About:
    """A run as a tracker learns of it."""

    home: Path
    """The folder that the run, or the comparison that it belongs to, lies in."""
    name: str
    """Its path within that folder, by which it is found again when it goes on."""
    task: str
    params: Mapping[str, str]
    several: bool
    """Whether a trial is trained several times, in folds or with several seeds."""


@dataclass(frozen=True, slots=True)
class Row:
    """Metrics at a step; none of them is NaN or infinite."""

    metrics: Mapping[str, float]
    step: int
    time_unix_s: float


def about(run: Path) -> About:
    """Return what is known of a run before its first trial. Raises :class:`StorageError`."""
    run = run.resolve()
    whole = next((folder for folder in list(run.parents)[:2] if is_file(folder / DESIGN)), run)
    space = read_yaml(read_file(run / "space.yaml").decode(), "space.yaml").data
    evaluation = space.get("evaluation") or {}
    facts = {**dict(_flat(space)), "data.fingerprint": read_status(run).get("fingerprint"), **_where(run)}
    return About(
        home=whole.parent,
        name=run.relative_to(whole.parent).as_posix(),
        task=named(whole)[1] or "harness",
        params={key: str(value) for key, value in facts.items() if value not in (None, "")},
        several=bool(evaluation.get("folds") or evaluation.get("repeats")),
    )


def _where(run: Path) -> dict[str, Any]:
    """Return the machine and the versions that a run is made with."""
    hardware, environment = read_object(run / "hardware.json"), read_object(run / "environment.json")
    return {
        "machine.device": hardware["device"],
        "machine.cpu": hardware["cpu"]["model"],
        "machine.cores": hardware["cpu"]["usable_cores"],
        "machine.memory_mib": round(hardware["memory"]["total_mib"]),
        "machine.gpus": ", ".join(gpu["name"] for gpu in hardware["gpus"]),
        "machine.system": hardware["system"],
        "version.harness": environment["harness"],
        "version.python": environment["python"],
        "version.torch": environment["packages"]["torch"],
        "git.commit": (environment["git"] or {}).get("commit"),
    }


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is in a mapping by dotted path; lists stay whole, as JSON."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(value) if isinstance(value, list) else value


def of_epoch(epoch: EpochRecord, *, several: bool) -> dict[str, float]:
    """Return the metrics of an epoch; of several trainings each has names of its own."""
    told = {f"train/{name}": value for name, value in epoch.train.items()}
    told |= {f"validation/{name}": value for name, value in epoch.validation.items()}
    told |= {f"epoch/{name}": getattr(epoch, name) for name in _OF_AN_EPOCH}
    return {f"fold{epoch.fold}/{name}" if several else name: value for name, value in _finite(told).items()}


def of_trial(record: TrialRecord, objective: str) -> dict[str, float]:
    """Return what a trial, or a stretch of it, came to and what it cost; ``objective`` names its first value."""
    told = {f"result/{name}": value for name, value in record.validation.items()}
    told |= {f"objective/{objective}": value for value in record.values[:1]}
    for name, value in record.figures.items():
        told[f"objective/{name}" if name.startswith("value_") else f"cost/{name}"] = value
    told |= {"cost/seconds": record.seconds, "cost/lost_s": record.lost_s}
    return _finite({**told, "epochs": record.epochs, "best_epoch": record.best_epoch})


def tags_of(record: TrialRecord) -> dict[str, str]:
    """Return how a trial ended and how it was trained, in words."""
    tags = {"outcome": str(record.outcome), "reason": record.reason, "seed": str(record.seed)}
    tags["architecture"] = next(iter(record.candidate.get("architecture", {})), "")
    if record.plan is not None:
        tags |= {f"plan.{name}": str(getattr(record.plan, name)) for name in _PLAN}
    if record.same_as is not None:
        tags["same_as"] = str(record.same_as)
    if record.notes:
        tags["notes"] = "; ".join(record.notes)
    return tags


def of_run(stats: Mapping[str, Any]) -> dict[str, float]:
    """Return the winner's metrics on the test samples, where these were opened, and those that chose it."""
    best, test = stats["best"], stats["test"]
    told = {f"result/{name}": value for name, value in best["validation"].items()} if best else {}
    told |= {f"test/{name}": value for name, value in test["metrics"].items()} if test else {}
    return _finite({**told, "cost/seconds": stats["elapsed_s"]})


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of what was measured; what is NaN was not."""
    return {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}
