"""Whether earlier runs may be compared, or gone on with: of one task, on the samples that they were searched on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data import Dataset, Learning
from harness.errors import DataError, InputError
from harness.spec import Spec, canonical
from harness.store import check_run, read_status
from harness.store.files import read_object
from harness.store.run import sealed_files
from harness.study.comparison.asked import SPARE, Asked
from harness.study.comparison.winners import times_opened
from harness.study.search import Opened, differences

_FREE = (
    "budget.trial_time",
    "budget.retries",
    "budget.checkpoint_time",
    "search.seed",
    "search.deterministic",
    "metrics",
)
"""What a comparison of runs may say otherwise than they do: the rest was decided when their winners were found."""


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


def check_unchanged(run: Path, spec: Spec, asked: Spec) -> None:
    """Raise :class:`InputError` where a spec of a run is to be another one.

    Other test samples may be among those that the winners were trained or chosen on, and everything else of a winner is
    frozen.
    """
    changed = (key for key in differences(canonical(spec), canonical(asked)) if not key.startswith(_FREE))
    if key := next(changed, None):
        raise InputError(
            f"{run}: {key} differs from what is asked for; winners of runs are compared as they were found: leave it "
            "out, or compare a space"
        )


def check_data(run: Path, dataset: Dataset) -> None:
    """Raise :class:`InputError` unless a run was searched on these data: its test samples would be other ones."""
    check_run(run)
    known = read_status(run).get("fingerprint")
    if known != dataset.fingerprint:
        raise DataError(
            f"{run}: the data of task {dataset.name!r} has changed since (fingerprint {known} then, "
            f"{dataset.fingerprint} now), so its winner may have been trained on what are test samples now; "
            "bring back the data of then, or compare a space"
        )


def check_splits(asked: Asked, pairs: int, opened: Opened) -> None:
    """Raise :class:`DataError` where a split of so many pairs, or of those in their places, would lack a class."""
    seeds = (asked.pair_seed(pair) for pair in range(SPARE * pairs))
    try:
        Learning(opened.dataset, opened.job.spec.task.split, seeds)
    except DataError as error:
        raise DataError(f"the samples cannot be split anew for every seed of the winners: {error}") from None
