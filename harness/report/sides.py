"""Several runs of searches as they are read to be put side by side: what each reached, and what they differ in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import InputError
from harness.records import NAN, Outcome
from harness.report.load import RunFiles, load_run
from harness.report.parts_section import where
from harness.report.statistics import ended
from harness.report.wording import flattened, setting
from harness.spec.reader import read_yaml
from harness.store.ledger import ledger
from harness.store.runs import listed


@dataclass(frozen=True)
class Side:
    """One of the runs."""

    name: str
    state: str
    run: RunFiles | None
    """None where it ended before its tables were written."""


class Facts(NamedTuple):
    """What two runs may differ in, each a text by its name."""

    space: dict[str, str]
    data: dict[str, str]
    machine: dict[str, str]


def read_sides(runs: Sequence[Path]) -> list[Side]:
    """Read the runs, named by their folders.

    Raises :class:`InputError` where there are fewer than two, where one is named twice or is no run, and
    :class:`StorageError` where one is damaged. One without tables yet, since it is under way or was killed, is a side.
    """
    if len(runs) < 2:
        raise InputError("name two runs at least, to be put side by side")
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    for place, run in enumerate(runs):
        if run.resolve() in [other.resolve() for other in runs[:place]]:
            raise InputError(f"{run}: named twice; name each run once")
    return [_side(name, run) for name, run in zip(names, runs, strict=True)]


def _side(name: str, run: Path) -> Side:
    found = listed(run)
    if found.command not in ("search", "train"):
        raise InputError(f"{run}: a run of harness {found.command}; only runs of trials are put side by side")
    state = found.state
    whole = (run / "stats.json").is_file() or state in ("complete", "interrupted")
    return Side(name, state, load_run(run) if whole else None)


def reached(side: Side) -> dict[str, Any]:
    """Return what a run reached, in full figures; what it has not got is empty, None or NaN."""
    run = side.run
    if run is None:
        return {"run": side.name, "state": side.state}
    best, test, (first, *_) = run.stats["best"], run.stats["test"], run.stats["objective"]
    rows = run.trials[run.trials["trial"] == best["trial"]].to_dict("records") if best else []
    winner, metric = rows[0] if rows else {}, first["metric"]
    figures = {name: winner.get(name, NAN) for name in ("parameters", "latency_p50_ms", "train_samples_s")}
    return {
        "run": side.name,
        "state": side.state,
        "task": run.stats["task"]["name"],
        "trials": len(run.trials),
        "complete": int(ended(run.trials, Outcome.COMPLETE).sum()),
        "trial": winner.get("trial"),
        "architecture": winner.get("architecture", ""),
        "optimizer": winner.get("optimizer", ""),
        "metric": metric,
        "direction": first["direction"],
        "validation": winner.get("value", NAN),
        "test": test["metrics"].get(metric, NAN) if test else NAN,
        "test_loss": test["metrics"].get("loss", NAN) if test else NAN,
        **figures,
        "device_s": ledger(run.trials).device_s,
        "elapsed_s": run.stats["elapsed_s"],
    }


def goal_of(run: RunFiles) -> tuple[str, bool]:
    """Return the first objective of a run, and whether it is to grow."""
    first = run.stats["objective"][0]
    return first["metric"], first["direction"] == "maximize"


def facts_of(side: Side) -> Facts:
    """Return what a run may differ in from others."""
    run = side.run
    if run is None:
        return Facts({}, {}, {})
    task = run.stats["task"]
    data = {
        "task": task["name"],
        "kind": str(task["kind"]),
        "classes": str(len(task["classes"])),
        "samples": ", ".join(f"{task[part]:,} {part}" for part in ("train", "validation", "test")),
        "fingerprint": task["fingerprint"][:12],
    }
    space = dict(flattened(read_yaml(run.space, "space.yaml").data))
    return Facts(space, data, dict(where({"hardware": run.hardware, "environment": run.environment})))


def differences(sides: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return by name what is not the same in all runs that say anything, with a text for each run."""
    known = [side for side in sides if side]
    names = dict.fromkeys(name for side in known for name in side)
    rows = {name: [side.get(name, setting(None)) for side in sides] for name in names}
    return {name: row for name, row in rows.items() if len({side.get(name) for side in known}) > 1}


def caveats(sides: Sequence[Side]) -> Iterator[tuple[str, str]]:
    """Yield why the runs cannot be compared as they stand: a code, and a sentence."""
    read = [side.run for side in sides if side.run]
    facts = [facts_of(side) for side in sides if side.run]
    for side in sides:
        if side.run is None:
            yield "incomplete", f"{side.name}: {side.state}, and without tables yet; only its name is in this report."
        elif side.state != "complete":
            yield "incomplete", f"{side.name}: {side.state}; a longer search may reach more."
    if len({each.stats["task"]["name"] for each in read}) > 1:
        yield "different-tasks", "The runs are of different tasks: their scores are not of one scale."
    elif len({each.stats["task"]["fingerprint"] for each in read}) > 1:
        yield "different-data", "The data has another fingerprint in some runs: their scores are of other samples."
    elif any(name.startswith("task.split") for name in differences([each.space for each in facts])):
        yield "different-split", "The data was split in another way in some runs: their scores are of other samples."
    if len({goal_of(each) for each in read}) > 1:
        yield "different-objectives", "The runs have different first objectives: each is drawn by itself."
