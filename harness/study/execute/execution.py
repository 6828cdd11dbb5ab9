"""Where trials are trained: how many at once, on what, with how many threads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from harness.errors import InputError
from harness.hardware import free_host_mib, usable_cores
from harness.records import MIB
from harness.spec import TaskSpec
from harness.study.contract import Executor
from harness.study.decide.lag import lag_of
from harness.study.execute.early import FEW
from harness.study.execute.inprocess import InProcess
from harness.study.execute.packing import Packing, usable_mib
from harness.study.execute.processes import LocalProcesses
from harness.study.job import Job
from harness.study.limits import limits_of
from harness.study.stop import Stop
from harness.study.trial.evaluate import JobWorkshop

WORKER_MIB = 1024
"""Main memory that ``auto`` leaves for each worker on a CPU: 300 to 500 MiB are torch's, the rest is for the trial."""
PER_GPU = 4
"""Trials that ``auto`` puts on one GPU at most; what was measured of their memory decides."""
TRIALS_PER_WORKER = 2
"""Trials that repay the start of another process, which takes a second or two of a core."""
LITTLE = 100_000
"""Samples that a whole search trains on, each as often as it comes up, which take seconds: of so few trials that is
less than a process takes to start."""
TIMED = frozenset(
    {"latency_ms", "train_samples_s", "inference_samples_s", "energy_j", "energy_j_per_sample", "train_seconds"}
)
"""Limits and objectives that a trial beside would change: then ``auto`` trains one trial at a time."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What was asked for."""

    workers: int | Literal["auto"] = "auto"
    """Worker processes; 0 trains in the process of the search, as ``auto`` does what :func:`is_little`, and all else in
    as many as :func:`worker_count` says."""
    executor: Literal["local", "ray"] = "local"
    address: str | None = None
    """Of the Ray cluster."""
    every_gpu: bool = False
    """Whether workers are dealt out to all GPUs, because none was named by its number."""


def check_execution(execution: Execution) -> None:
    """Raise :class:`InputError` where what was asked for contradicts itself, or is more than this machine has."""
    if execution.executor == "ray":
        return
    if execution.address is not None:
        raise InputError(f"--address {execution.address}: is that of a Ray cluster; add --executor ray")
    cores = usable_cores()
    if execution.workers != "auto" and not 0 <= execution.workers <= cores:
        raise InputError(
            f"--workers {execution.workers}: this machine has {cores} usable cores; use 0 to {cores}, or auto"
        )


def open_executor(execution: Execution, job: Job, stop: Stop) -> Executor:
    """Start what trains. Raises :class:`HardwareError` when it cannot be had."""
    # What trains knows of no source, so that a form of a user's own need not be importable there.
    spec = job.spec.model_copy(update={"task": TaskSpec()})
    workshop = JobWorkshop(replace(job, spec=spec), devices_of(execution, job))
    kind = job.device.type
    if execution.executor == "ray":
        from harness.study.execute.ray.cluster import RayActors

        workers = None if execution.workers == "auto" else max(1, execution.workers)
        return RayActors(workshop, address=execution.address, workers=workers, threads=1, device=kind)
    workers = processes_of(execution, job)
    if workers == 0:
        return InProcess(workshop, stop, threads=threads_of(job, 1), device=kind)
    return LocalProcesses(
        workshop, workers=workers, threads=threads_of(job, workers), device=kind, devices=len(workshop.devices)
    )


def processes_of(execution: Execution, job: Job) -> int:
    """Return in how many processes of this machine trials are trained; 0: in that of the search."""
    if execution.workers == 0 or (execution.workers == "auto" and is_little(job)):
        return 0
    return worker_count(execution.workers, job, gpus=len(devices_of(execution, job)))


def at_once(execution: Execution, job: Job) -> int:
    """Return how many trials this machine gets on with at once; on one GPU they take turns, however many share it."""
    processes = max(1, processes_of(execution, job))
    return min(processes, len(devices_of(execution, job))) if job.device.type == "cuda" else processes


def threads_of(job: Job, workers: int) -> int:
    """Return the CPU threads of each of so many workers: their sum never exceeds the cores.

    It is a bound: each candidate is trained on as many as pay. A deterministic search trains on one, since sums over
    another number of threads are rounded in another order.
    """
    if job.spec.search.deterministic:
        return 1
    return max(1, torch.get_num_threads() // workers)


def packing_of(execution: Execution, executor: Executor, job: Job) -> Packing:
    """Return how many trials may be under way at once: on a GPU of this machine as many as its memory holds.

    On a cluster each actor has a GPU of its own.
    """
    slots = executor.capabilities().slots
    if job.device.type != "cuda" or execution.executor == "ray":
        return Packing(slots, 1, math.inf)
    devices = devices_of(execution, job)
    sizes = [torch.cuda.mem_get_info(device) for device in devices]
    usable = min(usable_mib(total / MIB, (total - free) / MIB) for free, total in sizes)
    return Packing(slots, len(devices), usable)


def devices_of(execution: Execution, job: Job) -> tuple[torch.device, ...]:
    """Return the devices that workers are dealt out to."""
    if job.device.type == "cuda" and execution.executor == "ray":
        # An actor sees no GPU but its own.
        return (torch.device("cuda", 0),)
    if job.device.type == "cuda" and execution.every_gpu and execution.workers not in (0, 1):
        return tuple(torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    return (job.device,)


def is_little(job: Job) -> bool:
    """Tell whether a search is over before a process would have started, and runs nothing that one must be able to end.

    What only a process of its own can be stopped in is a user's own module, and a trial whose time is up.
    """
    spec = job.spec
    samples = spec.total * spec.budget.epochs * job.trainings * len(job.dataset.train)
    ends_by_itself = not job.trust and spec.budget.trial_time is None
    return job.device.type == "cpu" and spec.total <= FEW and samples <= LITTLE and ends_by_itself


def worker_count(asked: int | Literal["auto"], job: Job, *, gpus: int) -> int:
    """Return how many processes to train in.

    ``auto`` is as many as there are cores, since trials do not wait for each other as threads of one do; fewer
    where memory is short or trials are few, so that each has several threads, which it uses where they pay.
    """
    if asked != "auto":
        return asked
    spec = job.spec
    if TIMED & {*limits_of(spec.limits), *spec.objective}:
        return 1
    fitting = gpus * PER_GPU if job.device.type == "cuda" else int(free_host_mib() / WORKER_MIB)
    worthwhile = min(math.ceil(spec.total / TRIALS_PER_WORKER), lag_of(spec).most)
    return max(1, min(usable_cores(), worthwhile, fitting))
