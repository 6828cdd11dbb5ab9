"""The winners of searches, frozen: what they are, and who was scored before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import NoSuccessfulTrialError
from harness.store import RunFolder, read_status, refresh_manifest
from harness.store.files import read_object, read_parquet
from harness.store.run import STATUS


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


_LATER = ("same_as", "lost_s")


def winner_of(name: str, run: Path) -> Winner:
    """Return the winner of a finished search. Raises :class:`NoSuccessfulTrialError` where no trial completed."""
    stats, trials = read_object(run / "stats.json"), read_parquet(run / "trials.parquet")
    # Older versions did not write all of the columns: there was nothing to tell then.
    trials = trials.reindex(columns=[*trials.columns, *(name for name in _LATER if name not in trials)])
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


def times_opened(run: Path) -> int:
    """Return how often the test samples were opened for the winner of a run."""
    return read_status(run).get("test_opened", 0)


def note_opening(run: Path, number: int) -> None:
    """Have the run whose winner it is for say that its test samples were opened so many times."""
    folder = RunFolder.open(run)
    try:
        if times_opened(run) < number:
            folder.note(test_opened=number)
        # Also where it says so already: a kill may have come between the two.
        refresh_manifest(run, [STATUS])
    finally:
        folder.close()
