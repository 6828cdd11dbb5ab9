"""Worker processes that begin before there is anything to train: they load torch while the data are loaded here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from harness.errors import HardwareError
from harness.hardware import usable_cores
from harness.hardware.ring import nameless_file
from harness.study.execute.worker_process import WorkerProcess

MOST = 4
"""Processes that begin early: more would wait for each other at the disk."""
FEW = 2
"""Trials for which ``auto`` has no process begin early: it may need none."""
TRAINING = ("harness.study.trial.evaluate",)
"""What a worker loads meanwhile."""


class Early:
    """Some workers, and the file of what they will share, which is empty yet."""

    def __init__(self, count: int, threads: int) -> None:
        self.file = nameless_file()
        self.workers: list[WorkerProcess] = []
        with suppress(HardwareError):  # whoever needs a worker will say that there is none
            for _ in range(count):
                self.workers.append(WorkerProcess(self.file, threads=threads, ahead=TRAINING))

    def close(self) -> None:
        """Kill the workers."""
        _end(self.workers)
        os.close(self.file)


_begun: list[Early] = []
"""At most one; it is that of the command that this process carries out."""


@contextmanager
def begun(workers: int | str, trials: int) -> Iterator[None]:
    """Have as many of the workers of a search begin as there are cores to spare; end those that it does not take."""
    cores = usable_cores()
    wanted = cores if workers == "auto" else int(workers)
    count = min(wanted, trials, cores - 1, MOST)
    if count > 0 and not (workers == "auto" and trials <= FEW):
        _begun.append(Early(count, threads=max(1, cores // max(1, wanted))))
    try:
        yield
    finally:
        if _begun:
            _begun.pop().close()


def taken(workers: int) -> Early | None:
    """Return what has begun, with so many workers at most, which are the caller's from now on."""
    if not _begun:
        return None
    early = _begun.pop()
    _end(early.workers[workers:])
    del early.workers[workers:]
    return early


def _end(workers: Sequence[WorkerProcess]) -> None:
    """Kill workers: first all, then all are buried."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.bury()
