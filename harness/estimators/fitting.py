"""The search that an estimator's ``fit`` is."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from harness.api import SearchResult, abort, publish, request_of, result_of
from harness.estimators.model import Model
from harness.records import TrialRecord
from harness.signals import asked_to_end
from harness.study import Callbacks, Objective, Observer, Stop, open_search, run_search


class Fitted(NamedTuple):
    """What a search has left."""

    model: Model
    trials: pd.DataFrame
    result: SearchResult | None
    """None where its run folder is gone."""


class Lines(Observer):
    """One line on stderr for what was noticed of the data, and for each trial."""

    def run_started(self, _run: Path, notes: Sequence[str], _first: Objective, _best: TrialRecord | None) -> None:
        """Print the notes."""
        for note in notes:
            print(f"note: {note}", file=sys.stderr)

    def trial_ended(self, record: TrialRecord) -> None:
        """Print how it ended."""
        how = ", ".join(f"{value:.4g}" for value in record.values) or record.reason
        print(f"trial {record.trial}: {record.outcome}, {how}, {record.seconds:.1f} s", file=sys.stderr)


def fit(options: Mapping[str, Any], known: Mapping[str, Any], *, verbose: bool) -> Fitted:
    """Search with arguments of :func:`harness.search`; ``known`` are fields of the source, as the estimator knows them.

    With ``out: None`` the run folder is a temporary one, without a report. A signal that asks for the end is raised
    again once everything is saved.
    """
    if options["out"] is not None:
        return _fit(options, known, verbose=verbose, keep=True)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        return _fit({**options, "out": folder}, known, verbose=verbose, keep=False)


def _fit(options: Mapping[str, Any], known: Mapping[str, Any], *, verbose: bool, keep: bool) -> Fitted:
    started_s = time.monotonic()
    request = request_of(options)
    assert request.data is not None, "an estimator gives its data"
    request = replace(request, data=replace(request.data, known=known))
    stop = Stop(request.spec.budget.time, started_s=started_s)
    opened = open_search(request)
    with asked_to_end(stop.request, again=abort):
        finished = run_search(request, opened, stop, Callbacks(stop, Lines() if verbose else Observer()))
        if keep:
            publish(finished)
    if stop.signal:
        signal.raise_signal(stop.signal)
        raise KeyboardInterrupt  # where nobody else minds it
    result = result_of(finished, stop, "search")
    model = Model.of_run(result.run, device=request.device, trust=request.trust)
    return Fitted(model, result.trials, result if keep else None)
