"""The processes that groups are measured in, as the suite sees them: asked, listened to, ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench.rows import Row
from harness.bench.workload import UNWATCHED, Idle
from harness.errors import HardwareError
from harness.hardware.child import Child, End, listen
from harness.hardware.fork_server import ForkServer

MODULE = "harness.bench.child"
EXIT_S = 5.0
"""How long it may take to end by itself when it has said all."""


@dataclass(frozen=True, slots=True)
class Request:
    """Measure one group; without a name: describe the device and the machine."""

    group: str
    seconds: float
    round: int = 0
    rounds: int = 1
    """How many turns the group has, and which one this is, counted from 0."""
    idle: Idle = UNWATCHED
    threads: int = 0
    """CPU threads that torch is to use; 0: as many as there are usable cores."""


class GroupFailed(Exception):
    """The process died, or was killed because it did not answer; ``str`` is the reason."""

    def __init__(self, reason: str, *, out_of_memory: bool = False) -> None:
        super().__init__(reason)
        self.status = "oom" if out_of_memory else "failed"


class GroupProcesses:
    """Starts a process of :mod:`harness.bench.child` for each request; what they compile is kept in a folder."""

    def __init__(self, device: str, level: str, seed: int, cache: Path) -> None:
        self._arguments = {"name": device, "level": level, "seed": seed}
        self._source = ForkServer([MODULE], {"TORCHINDUCTOR_CACHE_DIR": str(cache)})
        self._child: Child | None = None

    def ask(self, request: Request, limit_s: float) -> Iterator[Row | dict[str, Any]]:
        """Yield the rows of the answer, then the facts that it ends with.

        Raises :class:`GroupFailed`, or :class:`HardwareError` when no process can be started.
        """
        deadline_s = time.monotonic() + limit_s
        try:
            self._child = child = Child(MODULE, self._arguments, start=self._source.start)
        except OSError as error:
            raise HardwareError(f"a process for the benchmark cannot be started ({error.strerror})") from error
        child.channel.send(request)
        while True:
            for answer in child.receive():
                yield answer
                if not isinstance(answer, Row):
                    self._bury(EXIT_S)
                    return
            if child.silent:
                end = self._bury(EXIT_S)
                raise GroupFailed(f"its process died ({end})", out_of_memory=end.out_of_memory)
            if (left_s := deadline_s - time.monotonic()) <= 0:
                self._bury(0.0)
                raise GroupFailed(f"it was killed: it had not ended after {limit_s:.0f} s")
            listen([child], left_s)

    def close(self) -> None:
        """End what runs at once, with the processes that it has started."""
        if self._child is not None:
            self._bury(0.0)
        self._source.close()

    def _bury(self, exit_s: float) -> End:
        assert self._child is not None
        child, self._child = self._child, None
        return child.bury(exit_s=exit_s)
