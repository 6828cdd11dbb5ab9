"""A worker process as the coordinator sees it: started, and its end explained."""

from __future__ import annotations

import re

from harness.errors import HardwareError
from harness.hardware.child import Child, End, Start
from harness.records import Outcome

_OUT_OF_MEMORY = re.compile(r"MemoryError|std::bad_alloc|[Cc]annot allocate memory|can't allocate memory")


class WorkerProcess(Child):
    """A process that runs :mod:`harness.study.execute.worker`, opening the workshop behind the descriptor ``shared``.

    Raises :class:`HardwareError` when it cannot be started.
    """

    def __init__(self, shared: int, *, threads: int, device: int, start: Start) -> None:
        self.ready = False
        """Whether it has said that it waits for assignments."""
        arguments = {"threads": threads, "device": device}
        try:
            super().__init__("harness.study.execute.worker", arguments, inherited={"shared": shared}, start=start)
        except OSError as error:
            raise HardwareError(f"a worker process cannot be started ({error.strerror}); use fewer workers") from error


def cause_of_death(end: End) -> tuple[Outcome, str]:
    """Tell by how a worker ended, and its last output, why it did; the trial that it had ended as this outcome."""
    if end.out_of_memory:
        return Outcome.OOM, "out of memory: its worker was killed by the kernel"
    if end.code is None:
        cause = "its worker does not answer and cannot be killed"
    else:
        cause = f"its worker died of {end.signal}" if end.signal else f"its worker exited with code {end.code}"
    if "Traceback (most recent call last)" in end.printed:
        cause = f"{cause}: {end.last_line}"
    if _OUT_OF_MEMORY.search(end.printed):
        return Outcome.OOM, f"out of memory: {cause}"
    return Outcome.CRASHED, cause
