"""A search from the spec to the run folder: what ``harness search`` and ``harness.search`` both do."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from harness.data import Dataset, Given, Learning, load
from harness.errors import DataError, InputError
from harness.hardware import choose_device, usable_cores
from harness.problems import problems
from harness.problems.scoring import Function, Scorer
from harness.spec import Resampling, Spec, load_spec, spec_hash
from harness.store import RunFolder, check_local, check_run, check_space, read_status, study_of
from harness.store.connection import postgresql_url
from harness.study.check import check_spec
from harness.study.choices import check_followed
from harness.study.decide.fixed import Replicate
from harness.study.execute.execution import Execution, check_execution
from harness.study.job import Job
from harness.study.objectives import resolve_metrics, resolve_objectives
from harness.study.observer import Observer
from harness.study.part import Finished, Means, SearchPart
from harness.study.rehearse import rehearse
from harness.study.replicates import on_one_holdout, read_replicates, splits_of, with_recorded
from harness.study.stop import Stop
from harness.study.trial.gates import check_meters

FEW = 500
"""Training and validation samples below which ``evaluation.folds: auto`` means FOLDS: a holdout is under 100 then."""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What a search is asked to do."""

    spec: Spec
    device: str = "auto"
    out: Path = Path("results")
    resume: Path | None = None
    trust: bool = False
    execution: Execution = field(default_factory=Execution)
    storage: str | None = None
    """URL of a PostgreSQL database for the study; None: a file of the run folder. To be given again to resume."""
    data: Given | None = None
    """The data of the task, where it comes from Python. To be given again to resume."""
    argv: Sequence[str] = ()
    """The command that asked for the search."""
    asked: Mapping[str, Any] | None = None
    """The arguments of the call from Python that asked for it instead."""
    plan_from: Path | None = None
    """A run whose measured choices are replayed; a run that is resumed replays its own."""
    remarks: Sequence[str] = ()
    """What a new run remembers of how its spec came about."""
    metrics: Mapping[str, Function] = field(default_factory=dict)
    """The user's own metrics that the spec names and that need not be imported."""
    folder: Path | None = None
    """The folder that a new run makes for itself; None: one below ``out``, with a name of its own."""
    final: bool = True
    """Whether the winner is made into a final model and scored on the test samples."""
    replicates: tuple[Replicate, ...] = ()
    """What is trained instead of searching; of a run that is resumed those in its record, unless there are more."""
    dataset: Dataset | None = None
    """The data of the task as it was read before, where several searches are of the same."""

    @property
    def placed(self) -> Execution:
        """Where trials are trained: on every GPU, where none is named by its number."""
        return replace(self.execution, every_gpu=self.device in ("auto", "cuda"))


@dataclass(frozen=True, slots=True)
class Opened:
    """A search that has been checked and can begin."""

    job: Job
    """What whatever trains gets to see."""
    dataset: Dataset
    """The same data with the test samples, which only the end of the search opens."""
    replicates: tuple[Replicate, ...] = ()
    """What is trained instead of searching."""

    def of_trial(self, seed: int) -> tuple[Job, Dataset]:
        """Return job and data as they were split for the trial of a seed."""
        split = self.job.splits.get(seed)
        if split is None:
            return self.job, self.dataset
        return self.job.of_trial(seed), self.dataset.with_split(self.job.spec.task.split, split)


def spec_of_run(run: Path) -> Spec:
    """Return the spec that a run was made with; what is drawn by it are the samples that the run trained on.

    Raises :class:`InputError` where it is no run, and :class:`StorageError` where its space was changed.
    """
    check_run(run)
    spec = load_spec(str(run / "space.yaml"))
    spec = spec if says_split_seed(spec) else split_by_search(spec)
    check_space(run, spec_hash(spec))
    return spec


def check_data(run: Path, dataset: Dataset, otherwise: str) -> None:
    """Raise :class:`DataError`, which ends with ``otherwise``, unless the data are those that a run was made with."""
    if dataset.fingerprint != read_status(run).get("fingerprint"):
        raise DataError(f"{run}: the data of task {dataset.name!r} {otherwise}")


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield the key paths at which two canonical specs part."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path


def says_split_seed(spec: Spec) -> bool:
    """Tell whether a spec says what its split is drawn by, as those of early versions do not."""
    return "seed" in spec.task.split.model_fields_set


def split_by_search(spec: Spec) -> Spec:
    """Return a spec of before the split had a seed of its own, with the one that it was drawn from: the search's."""
    split = spec.task.split.model_copy(update={"seed": spec.search.seed})
    return spec.model_copy(update={"task": spec.task.model_copy(update={"split": split})})


def open_search(request: Request) -> Opened:
    """Check everything that can be checked before anything is written: the space, the device, the data, each option.

    Raises :class:`InputError` or :class:`HardwareError`.
    """
    spec = request.spec
    check_spec(spec)
    check_execution(request.execution)
    if request.plan_from is not None:
        if request.resume is not None:
            raise InputError(
                f"plan_from {request.plan_from}: {request.resume} is resumed, and goes on by the choices in its own "
                "record; leave out --plan-from"
            )
        check_followed(request.plan_from)
    if request.storage is not None:
        postgresql_url(request.storage)
    device = choose_device(request.device)
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    if request.resume and not request.replicates and read_replicates(request.resume):
        raise InputError(f"{request.resume}: trains a list, and is no search; go on with the command that began it")
    dataset = request.dataset or load(spec.task, seed=spec.task.split.seed, given=request.data)
    if request.resume and read_status(request.resume).get("fingerprint") != dataset.fingerprint:
        raise DataError(f"{request.resume}: cannot be resumed: the data of task {dataset.name!r} has changed since")
    objectives = resolve_objectives(spec, dataset.shape.kind)
    scorer = resolve_metrics(spec, dataset.shape, request.metrics, trust=request.trust)
    if request.execution.workers != 0:
        _check_sendable(scorer)
    replicates = with_recorded(request.resume, request.replicates)
    spec, datasets = _dealt(on_one_holdout(spec, replicates), dataset)
    folds, dataset = tuple(fold.training_data() for fold in datasets), datasets[-1]
    splits = splits_of(replicates)
    job = Job(
        spec,
        folds[-1],
        device,
        objectives,
        request.trust,
        scorer,
        folds=folds if len(folds) > 1 else (),
        learning=Learning(dataset, spec.task.split, dict.fromkeys(splits.values())) if splits else None,
        splits=splits,
    )
    rehearse(job)
    check_meters(job)
    return Opened(job, dataset, replicates)


def _dealt(spec: Spec, dataset: Dataset) -> tuple[Spec, tuple[Dataset, ...]]:
    """Return the data of each fold, one for all where there are none, and the spec with ``folds: auto`` settled."""
    if spec.evaluation.folds != "auto":
        return spec, dataset.folds(spec.task.split, spec.evaluation.folds) if spec.evaluation.folds else (dataset,)
    samples = sum(len(dataset.split_index[part]) for part in ("train", "validation"))
    in_order = spec.task.split.order is not None or problems[dataset.shape.kind].continues
    if samples < FEW and not in_order and spec.search.pruner != "asha":
        with suppress(DataError):  # too few of a class or a group for as many folds: one holdout, as ever
            datasets = dataset.folds(spec.task.split, FOLDS)
            return spec.model_copy(update={"evaluation": Resampling(folds=FOLDS)}), datasets
    return spec.model_copy(update={"evaluation": Resampling()}), (dataset,)


def run_search(request: Request, opened: Opened, stop: Stop, observer: Observer) -> Finished:
    """Search to the total of trials, the end of the time, or a request to stop; leave everything in the run folder.

    The folder is not sealed yet: the report comes from a floor above. Raises :class:`StorageError`.
    """
    job, dataset = opened.job, opened.dataset
    storage = request.storage
    if request.resume:
        study_of(request.resume, storage)
    if storage is None:
        check_local(request.resume or request.out)
    if request.resume:
        folder = RunFolder.open(request.resume)
    else:
        folder = RunFolder.create(request.out, dataset.name, request.folder)
    try:
        means = Means(
            request.placed,
            storage,
            request.argv,
            request.asked,
            request.plan_from,
            request.final,
            opened.replicates,
            request.remarks,
        )
        return SearchPart(job, dataset, folder, means, stop, observer).run()
    finally:
        folder.close()


def _check_sendable(scorer: Scorer) -> None:
    """Refuse a metric of the user's own that no worker process can get."""
    for name, function in scorer.own.items():
        try:
            pickle.dumps(function)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise InputError(
                f"metrics.{name}: cannot be sent to worker processes ({error}); make it a function that holds no such "
                "thing, or train in this process with workers=0"
            ) from None
