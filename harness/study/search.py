"""A search from the spec to the run folder: what ``harness search`` and ``harness.search`` both do."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.data import load
from harness.errors import DataError, InputError
from harness.hardware import choose_device, usable_cores
from harness.spec import Spec, canonical, load_spec, spec_hash
from harness.store import RunFolder, check_run, read_json
from harness.study.check import check_spec
from harness.study.coordinator import Observer
from harness.study.job import Job
from harness.study.objectives import resolve_objectives
from harness.study.part import Finished, SearchPart
from harness.study.rehearse import rehearse
from harness.study.stop import Stop


@dataclass(frozen=True, slots=True)
class Request:
    """What a search is asked to do."""

    spec: Spec
    device: str = "auto"
    out: Path = Path("results")
    resume: Path | None = None
    trust: bool = False
    argv: Sequence[str] = field(default_factory=lambda: tuple(sys.argv))


def spec_to_resume(run: Path, space: str | None, overrides: Iterable[str]) -> Spec:
    """Return the spec of an earlier run, with a budget that the overrides may enlarge.

    ``space``, when given, must be the space of that run. Raises :class:`InputError` where anything that decides the
    trials differs.
    """
    check_run(run)
    original = load_spec(str(run / "space.yaml"))
    resumed = load_spec(space or str(run / "space.yaml"), overrides)
    if spec_hash(resumed) != spec_hash(original):
        changed = _differences(canonical(original), canonical(resumed))
        key = next(path for path in changed if path not in ("budget.trials", "budget.time"))
        raise InputError(
            f"{run}: cannot be resumed with another space: {key} differs; "
            "only budget.trials and budget.time may change. Start a new run for the changed space"
        )
    return resumed


def open_job(request: Request) -> Job:
    """Check everything that can be checked before anything is written: the space, the device, the data, each option.

    Raises :class:`InputError` or :class:`HardwareError`.
    """
    spec = request.spec
    check_spec(spec)
    device = choose_device(request.device)
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    dataset = load(spec.task, seed=spec.search.seed)
    if request.resume and read_json(request.resume / "status.json").get("fingerprint") != dataset.fingerprint:
        raise DataError(f"{request.resume}: cannot be resumed: the data of task {dataset.name!r} has changed since")
    job = Job(spec, dataset, device, resolve_objectives(spec, dataset.shape.kind), request.trust)
    rehearse(job)
    return job


def run_search(request: Request, job: Job, stop: Stop, observer: Observer) -> Finished:
    """Search to the total of trials, the end of the time, or a request to stop; leave everything in the run folder.

    The folder is not sealed yet: the report comes from a floor above. Raises :class:`StorageError`.
    """
    folder = RunFolder.open(request.resume) if request.resume else RunFolder.create(request.out, job.dataset.name)
    try:
        return SearchPart(job, folder, stop, observer, resumed=request.resume is not None).run(request.argv)
    finally:
        folder.close()


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield the key paths at which two canonical specs part."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path
