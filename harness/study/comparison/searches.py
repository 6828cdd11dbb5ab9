"""The searches of a comparison: one for each architecture, with the same trials and the same time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.errors import Interrupted
from harness.store import read_status, storage_errors
from harness.store.files import read_object
from harness.store.run import MANIFEST, STATUS
from harness.study.comparison.clock import Clock
from harness.study.comparison.contestants import Contestant
from harness.study.observer import Observer
from harness.study.part import Finished
from harness.study.search import Request, open_search, run_search

Publish = Callable[[Finished], None]
"""Writes the report of a run that has ended, and seals it; a report is made a floor above."""


def finished(run: Path) -> bool:
    """Tell whether a run was sealed as complete."""
    return (run / MANIFEST).is_file() and read_object(run / MANIFEST).get("state") == "complete"


def begun(run: Path) -> bool:
    """Tell whether a run can be resumed; what was killed before that is removed."""
    if run.exists() and not (run / STATUS).is_file():
        with storage_errors(run):
            shutil.rmtree(run)
    return run.exists()


def search(
    contestant: Contestant, base: Request, folder: Path, clock: Clock, observer: Observer, publish: Publish
) -> Path:
    """Search for a contestant's winner, or go on with that, and return the run; its test samples stay unopened.

    Raises :class:`Interrupted` when the comparison was asked to stop.
    """
    run = folder / contestant.folder
    if finished(run):
        return run
    resume, seconds = run if begun(run) else None, contestant.spec.budget.time
    if resume is not None and seconds is not None:
        # Every architecture has the same time, in however many parts.
        seconds -= read_status(resume).get("elapsed_s", 0.0)
    request = replace(base, spec=contestant.spec, resume=resume, folder=run, final=False)
    publish(run_search(request, open_search(request), clock.for_search(seconds), observer))
    if clock.signal:
        raise Interrupted("the comparison was asked to stop")
    return run
