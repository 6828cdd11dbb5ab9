"""The winners of searches, frozen: what they are, whether they may be compared, and who was scored before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InputError, NoSuccessfulTrialError
from harness.spec import Spec, canonical
from harness.store import RunFolder, read_status, refresh_manifest
from harness.store.files import read_object, read_parquet
from harness.store.run import STATUS, sealed_files


@dataclass(frozen=True, slots=True)
class Winner:
    """The winner of a search, and what it took to find it."""

    name: str
    run: Path
    trial: int
    candidate: Mapping[str, Any]
    """In the form of a space in which everything is fixed, its batch size settled."""
    params: Mapping[str, Any]
    trials: int
    complete: int
    device_seconds: float


def winner_of(name: str, run: Path) -> Winner:
    """Return the winner of a finished search. Raises :class:`NoSuccessfulTrialError` where no trial completed."""
    stats, trials = read_object(run / "stats.json"), read_parquet(run / "trials.parquet")
    best = stats["best"]
    if best is None:
        raise NoSuccessfulTrialError(
            f"{run}: no trial of {name} completed, so it has no winner to compare; "
            "give it more trials or time, or leave it out"
        )
    candidate, row = dict(best["candidate"]), trials[trials["trial"] == best["trial"]].iloc[0]
    if candidate["batch_size"] == "auto":
        candidate["batch_size"] = int(row["batch_size"])
    return Winner(
        name,
        run,
        int(best["trial"]),
        candidate,
        json.loads(row["params"]),
        len(trials),
        int((trials["outcome"] == "complete").sum()),
        float(trials["seconds"].where(trials["same_as"].isna(), 0.0).sum() + trials["lost_s"].sum()),
    )


def check_alike(specs: Mapping[Path, Spec]) -> None:
    """Raise :class:`InputError` unless the winners of runs can be trained and scored in the same way.

    What the runs hold is not looked at but for their task, data and metric.
    """
    first, *others = specs
    for run in others:
        for what, (ours, theirs) in _differing(first, run, specs):
            raise InputError(
                f"{first} and {run}: {what} differs ({ours} and {theirs}); compare runs of one task and data"
            )


def _differing(first: Path, other: Path, specs: Mapping[Path, Spec]) -> Any:
    """Yield what two runs must share and do not, with the two values of it."""
    facts = [_facts(run, specs[run]) for run in (first, other)]
    return ((what, (facts[0][what], facts[1][what])) for what in facts[0] if facts[0][what] != facts[1][what])


def _facts(run: Path, spec: Spec) -> dict[str, Any]:
    stats, plain = read_object(run / "stats.json"), canonical(spec)
    task = stats["task"]
    return {
        "the task": task["name"],
        "the kind of task": task["kind"],
        "the fingerprint of the data": task["fingerprint"],
        "the metric": " ".join(stats["objective"][0][key] for key in ("direction", "metric")),
        "task.split": json.dumps(plain["task"]["split"]),
        "task.limit": plain["task"].get("limit"),
        "budget.epochs": spec.budget.epochs,
        "evaluation": str(spec.evaluation),
    }


def check_finished(run: Path) -> None:
    """Raise :class:`InputError` unless a search has ended and was sealed as complete."""
    if not sealed_files(run) or read_status(run).get("state") != "complete":
        raise InputError(f"{run}: not a complete run; finish it with: harness search --resume {run}")


def check_unopened(runs: Sequence[Path], *, reopen: bool) -> None:
    """Raise :class:`InputError` where the test samples were opened for a winner before, unless they may be again."""
    opened = [str(run) for run in runs if times_opened(run)]
    if opened and not reopen:
        raise InputError(
            f"{', '.join(opened)}: the test samples were opened for its winner already, so another score on them is "
            "optimistic; compare a space instead, or say --reopen-test, which the report will show"
        )


def times_opened(run: Path) -> int:
    """Return how often the test samples were opened for the winner of a run."""
    return read_status(run).get("test_opened", 0)


def note_opening(run: Path, number: int) -> None:
    """Have the run whose winner it is for say that the test samples were opened for the so-manieth time."""
    if times_opened(run) >= number:
        return
    folder = RunFolder.open(run)
    try:
        folder.write_json(STATUS, {**read_status(run), "test_opened": number})
        refresh_manifest(run, [STATUS])
    finally:
        folder.close()
