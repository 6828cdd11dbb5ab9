"""A finished run opened for an average of its trials, with its data read again."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError, StorageError
from harness.records import Outcome
from harness.store import RunFolder
from harness.store.files import read_object
from harness.store.loose import at
from harness.store.run import changed_files
from harness.store.runs import listed
from harness.study.averaging.library import FEWEST, Library, in_rank
from harness.study.final.saved import BEST, model_folder
from harness.study.keeping import Kept, read_predictions
from harness.study.search import Request, check_data, open_search

_READ = ("validation/", "checkpoints/trial-", "best/", "space.yaml", "stats.json", "status.json")
"""What is read of the run, by the beginnings of names."""


def open_library(folder: RunFolder, request: Request, *, top: int | None) -> Library:
    """Return the ``top`` trials of a run (None: all that were kept), with its data by the request; nothing is written.

    Raises :class:`InputError` where it has no two such trials, :class:`DataError` where its data has changed or
    has no test samples, and :class:`StorageError` where a file of it was changed.
    """
    run = folder.path
    opened = open_search(request)
    check_data(run, opened.dataset, "has changed since; search it anew")
    opened.dataset.check_tested("an average, which is scored before it is used,")
    job, kept = opened.job, _kept(run)
    samples = sum(len(fold.validation) for fold in job.folds or (job.dataset,))
    if any(len(each.outputs) != samples for each in kept):
        raise StorageError(f"{run}/validation: holds predictions of other than the {samples} validation samples")
    return Library(folder, job, opened.dataset, in_rank(job.objectives[0], kept)[:top])


def check_finished(run: Path) -> None:
    """Raise :class:`InputError` for anything but a search that is complete, StorageError where it was changed."""
    found = listed(run)
    if found.command != "search":
        raise InputError(f"{run}: a run of `harness {found.command}`; only the trials of a search are averaged")
    if found.state != "complete":
        raise InputError(f"{run}: is {found.state}; finish it with: harness search --resume {run}")
    model_folder(run, BEST)
    for name in changed_files(run):
        if name.startswith(_READ):
            raise StorageError(f"{run / name}: not the file that manifest.json was sealed with; copy the run again")


def _kept(run: Path) -> list[Kept]:
    """Return the trials that can be averaged. Raises :class:`InputError` where there are not two."""
    complete = at(read_object(run / "stats.json"), "outcomes", Outcome.COMPLETE) or 0
    if complete < FEWEST:
        told = "one trial" if complete else "no trial"
        raise InputError(f"{run}: {told} completed; an average takes {FEWEST}: give the search more trials or time")
    kept = read_predictions(run)
    if not kept:
        raise InputError(
            f"{run}: was made by a version that kept no predictions of its trials; search anew: harness search "
            f"{run / 'space.yaml'}"
        )
    if len(kept) < FEWEST:
        raise InputError(
            f"{run}: only trial {kept[0].record.trial} has weights and predictions, since equal candidates were "
            "trained once and files above 256 MiB in sum are not kept; search more, or smaller, candidates"
        )
    return kept
