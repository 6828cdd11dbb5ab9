"""One candidate, trained and measured as a trial is: ``harness.train_candidate``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from harness.api import SearchResult, abort, publish, request_of, result_of
from harness.data import derive_seed
from harness.errors import InputError
from harness.records import EpochRecord, TrialRecord
from harness.report import load_run
from harness.signals import asked_to_end
from harness.spec.parameters import NodeError, Scalar
from harness.spec.params_file import point_of_params, read_params
from harness.store import check_run
from harness.store.runs import DESIGN
from harness.study import Observer, Observers, Request, Stop, open_search, run_search
from harness.study.callbacks import Callbacks
from harness.study.decide.fixed import Replicate
from harness.study.decide.suggest import locate
from harness.study.ending import Ending
from harness.study.replicates import listed_spec, read_replicates
from harness.study.search import check_data, spec_of_run
from harness.tracking import tracked


def train_candidate(
    space: str | Mapping[str, Any] | None = None,
    *,
    params: Mapping[str, Any] | str | Path | None = None,
    run: str | Path | None = None,
    trial: int | None = None,
    seeds: int | None = None,
    test: bool = False,
    timeout_s: float | None = None,
    resume: str | Path | None = None,
    on_epoch: Callable[[EpochRecord], object] | None = None,
    on_trial: Callable[[TrialRecord], object] | None = None,
    observer: Observer | None = None,
    started_s: float | None = None,
    **options: Any,
) -> SearchResult:
    """Train one candidate as a trial is trained, and leave a sealed run folder with its weights and a report.

    The candidate is a point of ``space`` that ``params`` name (a mapping, or a YAML or JSON file), or the winner of a
    ``run``, or a ``trial`` of it. A trial of a run is trained with the seed and the measured choices that it had, so
    that it comes to the same metrics. ``seeds`` trains it so many times, each time with another split of the samples
    to learn from, other weights and another order. The test samples are only scored with ``test``. ``resume`` goes on
    with an earlier training that was interrupted. ``options`` are those of :func:`harness.search`.

    >>> import harness
    >>> space = {"task": "wine", "budget": {"epochs": 2}, "space": {"architecture": {"mlp": {"width": [8, 16]}}}}
    >>> result = harness.train_candidate(space, params={"architecture.mlp.width": 16}, seeds=2, workers=0)
    >>> len(result.stats["replicates"]["validation"]["accuracy"]["values"])
    2

    Raises the errors of :mod:`harness.errors`.
    """
    started_s = time.monotonic() if started_s is None else started_s
    if resume is not None:
        _check_alone(resume, space=space, params=params, run=run, trial=trial, seeds=seeds)
        check_run(Path(resume))
        if not (listed := read_replicates(Path(resume))):
            raise InputError(f"{resume}: not a run of `harness train`; go on with the command that began it")
        if (Path(resume).parent / DESIGN).is_file():
            whole = Path(resume).parent
            raise InputError(f"{resume}: belongs to a comparison; go on with: harness compare --resume {whole}")
        request = replace(request_of({**options, "resume": resume}), replicates=listed, final=False)
    elif run is not None:
        _check_alone(run, space=space, params=params)
        request = _of_run(Path(run), trial, seeds, options)
    else:
        if trial is not None:
            raise InputError(f"trial {trial}: of which run? Name it with run (--from)")
        request = _of_params(space, params, seeds, options)
    # The time that a space gives to its search is none of a training.
    stop = Stop(timeout_s, started_s=started_s)
    opened = open_search(request)
    if run is not None:
        check_data(Path(run), opened.dataset, "has changed since; search or train it anew")
    if test:
        opened.dataset.check_tested("a score on them")
    with asked_to_end(stop.request, again=abort), tracked(options.get("track", ())) as tracking:
        watching = Callbacks(stop, Observers(tracking, observer or Observer()), on_epoch, on_trial)
        ending = Ending(opened, stop, watching, test)
        finished = ending.finish(run_search(request, opened, stop, ending.observer))
        publish(finished)
        tracking.run_ended(finished)
    return result_of(finished, stop, "train_candidate")


def _check_alone(run: str | Path, /, **others: Any) -> None:
    """Refuse what a run decides by itself."""
    if named := next((name for name, value in others.items() if value is not None), None):
        raise InputError(f"{run}: decides what is trained by itself; leave out {named}")


def _of_params(space: Any, params: Any, seeds: int | None, options: Mapping[str, Any]) -> Request:
    if params is None:
        raise InputError("name what to train: params (--params FILE) of a space, or a run (--from RUN)")
    base = request_of({**options, "space": space})
    given, origin = (params, "params") if isinstance(params, Mapping) else (read_params(Path(params)), str(params))
    try:
        point = point_of_params(base.spec.group, given)
        locate(base.spec.group, point)
    except NodeError as error:
        raise InputError(f"{origin}: {'.'.join(map(str, error.path))}: {error}") from None
    except ValueError as error:
        raise InputError(f"{origin}: {error}") from None
    return _listed(base, point, derive_seed(base.spec.search.seed, "trial", 0), seeds)


def _of_run(run: Path, trial: int | None, seeds: int | None, options: Mapping[str, Any]) -> Request:
    check_run(run)
    found = load_run(run)
    trials, best = found.trials.set_index("trial", drop=False), found.stats["best"]
    if trial is None:
        if best is None:
            raise InputError(f"{run}: has no winner; name one of its trials with trial (--trial N)")
        trial = best["trial"]
    if trial not in trials.index:
        known = f"its trials are 0 to {trials.index.max()}" if len(trials) else "it has none"
        raise InputError(f"{run}: has no trial {trial}; {known}")
    row = trials.loc[trial].to_dict()
    if pd.notna(row["same_as"]):
        row = trials.loc[row["same_as"]].to_dict()  # the one that was trained
    # The choices that the clock made then are part of what the trial was.
    split_seed = f"task.split.seed={spec_of_run(run).task.split.seed}"
    overrides = [split_seed, *options.get("overrides", ())]
    asked = {"plan_from": run, **options, "space": str(run / "space.yaml"), "overrides": overrides}
    base, point = request_of(asked), json.loads(row["params"])
    try:
        locate(base.spec.group, point)
    except ValueError as error:
        raise InputError(f"trial {trial} of {run}: {error}; the space was changed since, or by --set") from None
    listed = read_replicates(run)
    split = listed[row["trial"]].split if listed else None
    return _listed(base, point, int(row["seed"]), seeds, split=split)


def _listed(
    base: Request, point: Mapping[str, Scalar], seed: int, seeds: int | None, *, split: int | None = None
) -> Request:
    """Return the request to train a point once as a trial, or with so many seeds of its own."""
    if seeds is not None and seeds < 1:
        raise InputError(f"seeds {seeds}: expected a number from 1 on")
    listed = [Replicate(point, seed, split)]
    if seeds is not None:
        each = range(seeds)
        listed = [Replicate(point, derive_seed(seed, "replicate", n), derive_seed(seed, "split", n)) for n in each]
    return replace(base, spec=listed_spec(base.spec, len(listed)), replicates=tuple(listed), final=False)
