"""The Python face of harness: the same objects as the command line."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import pandas as pd

from harness.data import Given, given
from harness.errors import InputError, NoSuccessfulTrialError
from harness.hardware import choose_device, describe_precisions, probe
from harness.own import path_of
from harness.problems.scoring import Function
from harness.report import Plots, ResultWarning, load_run, result_warnings, run_html, run_line, write_report
from harness.signals import asked_to_end
from harness.spec import Spec, load_spec, overrides_of, read_mapping, shipped_spaces
from harness.store import check_run, read_json, read_object, read_status, seal
from harness.store.files import read_parquet
from harness.store.runs import listed
from harness.study import (
    Callbacks,
    Estimate,
    Execution,
    Finished,
    Observer,
    Observers,
    OnEpoch,
    OnTrial,
    Predictor,
    Request,
    Stop,
    at_once,
    estimate_costs,
    examine,
    open_search,
    replayed,
    run_search,
    spec_to_resume,
    total_seconds,
    warm_started,
)
from harness.tracking import tracked


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What :func:`search` found; everything in it is also a file of the run folder.

    >>> result.state, list(result.trials["outcome"])
    ('complete', ['complete', 'complete'])
    >>> 0.0 <= result.test["accuracy"] <= 1.0
    True
    """

    run: Path
    """The run folder, which :func:`load` and ``harness report`` take."""
    state: str
    """``complete``, or ``interrupted`` when it was asked to stop and can be resumed."""
    stats: Mapping[str, Any]
    """What ``stats.json`` holds; docs/results.md describes it."""
    signal: int = 0
    """The signal that ended it early, 0 for none."""

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial; docs/results.md describes the columns."""
        return read_parquet(self.run / "trials.parquet")

    @property
    def epochs(self) -> pd.DataFrame:
        """One row per trial and epoch."""
        return read_parquet(self.run / "epochs.parquet")

    @property
    def best(self) -> Mapping[str, Any] | None:
        """Trial, candidate, parameters and validation metrics of the winner."""
        best: Mapping[str, Any] | None = self.stats["best"]
        return best

    @property
    def test(self) -> Mapping[str, float]:
        """The winner's metrics on the test samples; empty where these were not opened."""
        metrics: Mapping[str, float] = self.stats["test"]["metrics"] if self.stats["test"] else {}
        return metrics

    @property
    def warnings(self) -> tuple[ResultWarning, ...]:
        """What is doubtful about the winner, as the report says it on top."""
        return result_warnings(load_run(self.run))

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.run / "report.html"

    @property
    def plot(self) -> Plots:
        """The figures of the report, to be shown, changed and saved: ``result.plot.history()``."""
        return Plots(self.run)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state}: {run_line(self.trials, self.stats)}; {self.run}>"

    def _repr_html_(self) -> str:
        return run_html(self.trials, self.stats, note=f"Report: {self.report}")


def search(
    space: str | Mapping[str, Any] | None = None,
    *,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    overrides: Iterable[str] = (),
    trials: int | None = None,
    timeout_s: float | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    out: str | Path = "results",
    resume: str | Path | None = None,
    workers: int | Literal["auto"] = "auto",
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    storage: str | None = None,
    deterministic: bool | None = None,
    trial_timeout_s: float | None = None,
    retries: int | None = None,
    plan: Literal["auto", "safe"] | None = None,
    plan_from: str | Path | None = None,
    warm_start: str | Path | Sequence[str | Path] = (),
    trust: bool = False,
    metrics: Mapping[str, Function | str] | Sequence[str] = (),
    on_epoch: OnEpoch | None = None,
    on_trial: OnTrial | None = None,
    observer: Observer | None = None,
    track: str | Iterable[str] = (),
    argv: Sequence[str] | None = None,
    started_s: float | None = None,
) -> SearchResult:
    """Search ``space`` and leave a sealed run folder with its report.

    ``space`` is a shipped space's name, a built-in task's, a space file, or a mapping with what such a file says.
    ``data`` takes the place of the data of its task: a DataFrame with the column ``target``; a pair (inputs, targets)
    of arrays or of a DataFrame and a column; or ``{"inputs": ..., "targets": ...}``. Arrays are taken as those of an
    NPZ file would be, a DataFrame as a Parquet file of it; what else the task says of a table holds for it too.
    ``overrides`` are texts such as ``"task.drop=[id]"`` that replace a key of the space, as ``--set`` does; arguments
    that are not named below mean what the options of the command line do (``harness search --help``).

    >>> import harness
    >>> frame = pd.DataFrame({"area": range(30, 90), "price": range(91, 271, 3)})
    >>> space = {"budget": {"epochs": 2}, "space": {"architecture": {"mlp": {"width": [8, 16]}}}}
    >>> result = harness.search(space, data=frame, target="price", trials=2, workers=0)
    >>> len(result.trials), sorted(result.test)[:3]
    (2, ['explained_variance', 'loss', 'mae'])

    The first SIGINT or SIGTERM ends the search cleanly with everything saved; the second one aborts. ``resume`` goes on
    with an earlier run up to its total of ``trials``, and takes its ``data`` again. Trials run in ``workers`` processes
    of their own (``"auto"``: one for each core, as far as that pays; 0: in this one), or in as many actors of the Ray
    cluster at ``address``; ``storage`` is the URL of a PostgreSQL database for the study. ``plan_from`` is a run whose
    measured choices of layout, precision, batch size and threads are replayed. ``warm_start`` names earlier runs, the
    best candidates of which are tried first. ``metrics`` are measured beside those of the space: names of built-in
    ones, or a mapping of names of your own to functions of (targets, answers), or to ``"module:function"`` with
    ``trust``; see docs/spaces.md. ``timeout_s`` is for everything from this call on, or from ``started_s`` (of
    ``time.monotonic()``) where that came before it. Raises the errors of :mod:`harness.errors`.

    ``on_epoch`` is called with the :class:`~harness.records.EpochRecord` of every epoch that has ended, ``on_trial``
    with the :class:`~harness.records.TrialRecord` of every trial; ``observer`` is an :class:`Observer`, which hears of
    the rest as well. All of them run in the process and thread of this call, between other work, so they should be
    quick. :class:`StopSearch` from one of them ends the search early; any other error ends it with everything saved, as
    a signal would, and is then raised here: ``resume`` goes on. ``track`` has ``"mlflow"`` or ``"tensorboard"``, or
    both, with their places as in ``"mlflow=http://127.0.0.1:5000"``: what they are told of the search is sent from
    threads of their own, and no failure of theirs ends it; see docs/tracking.md.
    """
    track = (track,) if isinstance(track, str) else tuple(track)
    arguments = {**locals(), "overrides": tuple(overrides)}
    started_s = time.monotonic() if started_s is None else started_s
    request = request_of(arguments)
    stop = Stop(request.spec.budget.time, started_s=started_s)
    opened = open_search(request)
    with asked_to_end(stop.request, again=abort), tracked(track) as tracking:
        watching = Callbacks(stop, Observers(tracking, observer or Observer()), on_epoch, on_trial)
        finished = run_search(request, opened, stop, watching)
        publish(finished)
        tracking.run_ended(finished)
    return result_of(finished, stop, "search")


def result_of(finished: Finished, stop: Stop, function: str) -> SearchResult:
    """Return what a run of a function of ``harness`` has come to, or raise what ended it."""
    if stop.error is not None:
        goes_on = f"harness.{function}(resume={str(finished.run)!r})"
        stop.error.add_note(f"raised by a callback; it can go on: {goes_on}")
        raise stop.error
    if finished.failure and not stop.signal:
        raise NoSuccessfulTrialError(f"{finished.run}: no trial completed; {finished.failure}")
    return SearchResult(finished.run, finished.state, finished.stats, stop.signal)


OVERRIDES = ("trials", "retries", "seed", "sampler", "pruner", "deterministic", "precision", "plan")
"""Arguments of :func:`search` that override a key of the space, under the same name."""


def request_of(options: Mapping[str, Any]) -> Request:
    """Return what a search is asked to do by arguments of :func:`search`; those that are left out have their defaults.

    Raises :class:`InputError`, and TypeError for what is no argument of it.
    """
    bound = inspect.signature(search).bind(**options)
    bound.apply_defaults()
    asked = bound.arguments
    named = overrides_of(
        timeout=asked["timeout_s"],
        trial_timeout=asked["trial_timeout_s"],
        **{name: asked[name] for name in OVERRIDES},
    )
    metrics = asked["metrics"]
    overrides = [
        *(f"metrics.{name}={path or 'null'}" for name, path in metric_paths(metrics).items()),
        *asked["overrides"],
        *named,
    ]
    run = Path(asked["resume"]) if asked["resume"] is not None else None
    source = source_of(asked["data"], asked["target"])
    spec = resolve_spec(asked["space"], run, overrides, source.task if source else None)
    spec, remarks = _warm_started(spec, asked["warm_start"], run)
    return Request(
        spec=spec,
        remarks=remarks,
        device=asked["device"],
        out=Path(asked["out"]),
        resume=run,
        trust=asked["trust"],
        execution=Execution(asked["workers"], asked["executor"], asked["address"]),
        storage=asked["storage"],
        data=source,
        argv=asked["argv"] or (),
        asked=_asked(options) if asked["argv"] is None else None,
        plan_from=Path(asked["plan_from"]) if asked["plan_from"] is not None else None,
        metrics={name: each for name, each in metrics.items() if callable(each)}
        if isinstance(metrics, Mapping)
        else {},
    )


def _warm_started(
    spec: Spec, runs: str | Path | Sequence[str | Path], resume: Path | None
) -> tuple[Spec, tuple[str, ...]]:
    earlier = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    if earlier and resume is not None:
        raise InputError(
            f"warm start: {resume} is resumed, and has its first candidates already; leave out one of both"
        )
    return warm_started(spec, earlier)


def publish(finished: Finished) -> None:
    """Write the report of a run that has ended, and seal it."""
    publish_run(finished.run)


def publish_run(run: Path) -> None:
    """Write the report of a run as its records are now, and seal it."""
    write_report(run)
    seal(run, _manifest(run))


def metric_paths(metrics: Mapping[str, Function | str] | Sequence[str]) -> dict[str, str | None]:
    """Return metrics as a space names them: a function by its path, a built-in one by nothing but its name."""
    if not isinstance(metrics, Mapping):
        return dict.fromkeys(metrics)
    return {name: each if isinstance(each, str) else path_of(each, name) for name, each in metrics.items()}


def source_of(data: Any, target: str | Sequence[str] | None) -> Given | None:
    """Return data that are given from Python; None where none are. Raises :class:`InputError`."""
    if data is not None:
        return given(data, target)
    if target is not None:
        raise InputError(f"target {target!r}: names a column of `data`, which is not given")
    return None


def _asked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of :func:`search` that are not the usual ones, as plain data."""
    told: dict[str, Any] = {}
    for name, parameter in inspect.signature(search).parameters.items():
        value = arguments.get(name, parameter.default)
        if value is parameter.default or name in ("on_epoch", "on_trial", "observer", "argv", "started_s"):
            continue
        if name == "data":
            told[name] = type(value).__name__
        elif name == "metrics":
            told[name] = metric_paths(value)
        elif value != parameter.default:
            told[name] = read_mapping({name: value}, "search").data[name]
    return told


def resolve_spec(
    space: str | Mapping[str, Any] | None,
    resume: Path | None,
    overrides: Iterable[str],
    source: Mapping[str, str] | None = None,
) -> Spec:
    """Return the spec of a new run, or of the run to resume. Raises :class:`InputError` where neither is named."""
    if resume is not None:
        return spec_to_resume(resume, space, overrides, source)
    if space is None:
        raise InputError(f"name a space to search, such as {', '.join(shipped_spaces())}, or a run to resume")
    return load_spec(space, overrides, source)


def open_run(run: str | Path) -> SearchResult:
    """Return the result of a search from its run folder, as :func:`search` returned it.

    Raises :class:`InputError` where it is no run of a search, and :class:`StorageError` where it is damaged, was made
    by another version's schema, or ended before its tables were written.

    >>> import harness
    >>> opened = harness.open_run(run)
    >>> opened.best["trial"] == result.best["trial"], opened.plot.history().layout.title.text
    (True, 'Every trial and the best so far')
    """
    path = Path(run)
    check_run(path)
    return SearchResult(path, listed(path).state, load_run(path).stats)


def load(run: str | Path, *, model: str = "best", device: str = "auto", trust: bool = False) -> Predictor:
    """Return the final model of a run, to predict raw samples as it predicted the test samples.

    Everything comes from the run's folder ``best/``, or the one that ``model`` names; nothing in it is unpickled, and a
    module of the user's own is imported only with ``trust``. Raises :class:`InputError` where there is no such model,
    and :class:`StorageError` where it is damaged.

    >>> import harness
    >>> model = harness.load(run)  # such as "results/20260101-120000-wine-0a1b"
    >>> model.predict(frame).shape, model.predict_proba(frame).shape
    ((178,), (178, 3))
    """
    return Predictor(Path(run), model=model, device=device, trust=trust)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a search would cost on a device; see :func:`estimate_search`.

    >>> Cost("cpu", [], total_s=60.0, least_s=30.0, most_s=90.0).total_s
    60.0
    """

    device: str
    architectures: list[Estimate]
    total_s: float
    """All epochs of all trials, ``at_once`` of them at a time, and what is measured of each: an estimate, no bound."""
    least_s: float
    most_s: float
    """The same, were every trial as cheap as the cheapest candidate that was tried, or as dear as the dearest."""
    at_once: int = 1
    notes: tuple[str, ...] = ()
    """What was noticed of the data, as the search would note it."""


def estimate_search(
    spec: Spec,
    *,
    device: str = "auto",
    workers: int | Literal["auto"] = "auto",
    trust: bool = False,
    plan_from: str | Path | None = None,
) -> Cost:
    """Train some candidates of each architecture for a moment and extrapolate; writes nothing.

    ``workers`` are those of the search. ``plan_from`` is a run whose measured choices are replayed. Raises the errors
    of :func:`search`.

    >>> from harness.spec import load_spec
    >>> cost = estimate_search(load_spec(space))
    >>> [each.architecture for each in cost.architectures], cost.least_s <= cost.most_s
    (['mlp'], True)
    """
    followed = Path(plan_from) if plan_from is not None else None
    request = Request(spec=spec, device=device, trust=trust, execution=Execution(workers), plan_from=followed)
    opened = open_search(request)
    job, noticed = opened.job, examine(opened.job, opened.dataset)
    count = at_once(request.placed, job)
    with replayed(followed) as memory:
        estimates = estimate_costs(replace(job, memory=memory), count)
    notes = (*job.dataset.notes, *noticed.told(job.dataset.name))
    return Cost(str(job.device), estimates, *total_seconds(job, estimates, count), count, notes)


def describe_devices() -> dict[str, Any]:
    """Return what this machine is, with what each device that torch can use makes of the precisions.

    It is what ``harness devices --json`` prints, without names and serial numbers of this machine.

    >>> sorted(describe_devices()["precisions"]["cpu"])[:3]
    ['bf16', 'fp16', 'fp32']
    """
    machine = probe(torch=True)
    names = ["cpu", *(device.device for device in machine.torch.devices)] if machine.torch else ["cpu"]
    precisions = {
        name: {precision: asdict(each) for precision, each in describe_precisions(choose_device(name)).items()}
        for name in names
    }
    return {**machine.as_dict(hide_ids=True), "precisions": precisions, "default_device": str(choose_device("auto"))}


def abort(number: int, _frame: FrameType | None) -> None:
    """End the program at once, at a second signal."""
    raise SystemExit(128 + number)


def _manifest(run: Path) -> dict[str, Any]:
    stats = read_object(run / "stats.json")
    return {
        "state": read_status(run).get("state"),
        "environment": read_json(run / "environment.json"),
        "machine": read_json(run / "hardware.json"),
        "seed": stats["search"]["seed"],
        "data_fingerprint": stats["task"]["fingerprint"],
    }
