"""The winner trained on all samples: ``harness.refit``."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.api import abort, load, request_of
from harness.errors import InputError, Interrupted
from harness.plan.running import thread_count
from harness.signals import asked_to_end
from harness.store import RunFolder, check_run, read_status, refresh_manifest
from harness.store.run import STATUS, remember
from harness.study import Observer, Opened, Predictor, Stop, open_search, replayed, spec_of_run
from harness.study.choices import MACHINE
from harness.study.execute.execution import threads_of
from harness.study.final.openings import count_look
from harness.study.final.saved import FULL, Saved
from harness.study.final.whole import read_winner, save_on_all, trainees_of
from harness.study.search import check_data


def refit(
    run: str | Path,
    *,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    metrics: Mapping[str, Any] | None = None,
    device: str = "auto",
    trust: bool = False,
    force: bool = False,
    observer: Observer | None = None,
) -> Predictor:
    """Train the winner of a finished run on all of its samples, those of the test part too, and return that model.

    It is for use once the test score is known: more data make a better model, and nothing is left to measure it on, so
    it has no score of its own; that of ``best/`` stands for it. Architecture, epochs, schedule, number of models,
    calibration and threshold are those of ``best/``. It becomes the folder ``full/`` of the run, which is sealed again;
    ``best/`` and the predictions stay as they are. ``data``, ``target`` and ``metrics`` are given again where the
    search was given them. An earlier ``full/`` is replaced only with ``force``.

    >>> import harness
    >>> model = harness.refit(run)
    >>> model.predict(frame).shape, harness.load(run, model="full").class_names == model.class_names
    ((178,), True)

    Raises :class:`DataError` where the data have changed since, and the other errors of :mod:`harness.errors`.
    KeyboardInterrupt leaves the run as it was.
    """
    path, stop = Path(run), Stop()
    saved = _winner(path, force=force)
    asked = {"space": str(path / "space.yaml"), "device": device, "trust": trust, "metrics": metrics or ()}
    request = replace(request_of({**asked, "data": data, "target": target}), spec=spec_of_run(path))
    opened = open_search(request)
    check_data(path, opened.dataset, "have changed since; search anew")
    try:
        with asked_to_end(stop.request, again=abort):
            _refit(path, opened, saved, stop, observer or Observer())
    except Interrupted:
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + stop.signal) from None
    return load(path, model=FULL, device=device, trust=trust)


def _winner(run: Path, *, force: bool) -> Saved:
    """Return the final model of a run. Raises :class:`InputError` where there is none to repeat, or one would go."""
    check_run(run)
    saved = read_winner(run)
    trainees_of(run, saved)
    if (state := read_status(run).get("state")) != "complete":
        raise InputError(f"{run}: is {state}, and has no final model yet; go on with it first")
    if not force and (run / FULL / "candidate.json").is_file():
        raise InputError(f"{run}: has a model of all samples already, in {FULL}/; replace it with --force (force=True)")
    return saved


def _refit(run: Path, opened: Opened, saved: Saved, stop: Stop, observer: Observer) -> None:
    """Train and write; that the test samples are opened is noted before."""
    folder = RunFolder.open(run)
    try:
        if opened.dataset.test_size:
            count_look(folder)
            refresh_manifest(run, [STATUS])
        choices = run if (run / MACHINE).is_file() else None
        with replayed(choices) as memory, thread_count(threads_of(opened.job, 1)):
            job = replace(opened.job, memory=memory)
            save_on_all(job, opened.dataset.for_all(), folder, saved, stop, observer)
        remember(run, FULL)
    finally:
        folder.close()
