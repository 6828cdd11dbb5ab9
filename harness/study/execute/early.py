"""Where worker processes come from; it loads torch while the data are loaded here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.hardware import usable_cores
from harness.hardware.fork_server import ForkServer
from harness.hardware.openmp import waiting_asleep

FEW = 2
"""Trials for which ``auto`` has nothing begin early: it may need no process."""
TRAINING = "harness.study.trial.evaluate"
"""What a worker needs: the module of the workshop of a search."""
_BASELINES = ("sklearn.ensemble", "sklearn.linear_model")
"""What fits baselines; it is loaded while the command still loads its own."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

_begun: list[ForkServer] = []
"""At most one; it is that of the command that this process carries out."""


@contextmanager
def begun(workers: int | str, trials: int, *, baselines: bool) -> Iterator[None]:
    """Have a search's source of workers begin, if there is a core to spare; end it if the search does not take it.

    ``baselines``: whether it is to be a source of what fits them, too, where several processes are wanted.
    """
    cores = usable_cores()
    wanted = cores if workers == "auto" else int(workers)
    if cores > 1 and min(wanted, trials) > 0 and not (workers == "auto" and trials <= FEW):
        ahead = [TRAINING, *(_BASELINES if baselines and wanted > 1 else ())]
        _begun.append(_source(ahead, threads=max(1, cores // wanted)))
    try:
        yield
    finally:
        if _begun:
            _begun.pop().close()


def source_of_workers(module: str, threads: int) -> ForkServer:
    """Return what has begun, or a new one for workers that need a module; it is the caller's from now on."""
    return _begun.pop() if _begun else _source([module], threads)


def _source(ahead: Sequence[str], threads: int) -> ForkServer:
    return ForkServer(ahead, {**waiting_asleep(os.environ), **dict.fromkeys(_THREADS, str(threads))})
