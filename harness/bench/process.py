"""The process that groups are measured from, as the suite sees it: asked, listened to, ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.bench.rows import Row
from harness.bench.workload import UNWATCHED, Idle
from harness.errors import HardwareError
from harness.hardware.child import Child, listen, spawn

MODULE = "harness.bench.child"
FORKS = sys.platform == "linux"
"""Whether one such process serves all groups, by a fork for each, or ends after one."""
EXIT_S = 5.0
"""How long it may take to end by itself when there is nothing more to do."""


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


class GroupProcess:
    """Runs :mod:`harness.bench.child`, which keeps what it compiles in the folder ``cache``.

    Raises :class:`HardwareError` when it cannot be started.
    """

    def __init__(self, device: str, level: str, seed: int, cache: Path) -> None:
        arguments = {"name": device, "level": level, "seed": seed}
        try:
            self._child = Child(
                MODULE, arguments, start=partial(spawn, environment={"TORCHINDUCTOR_CACHE_DIR": str(cache)})
            )
        except OSError as error:
            raise HardwareError(f"a process for the benchmark cannot be started ({error.strerror})") from error

    def ask(self, request: Request, limit_s: float) -> Iterator[Row | dict[str, Any]]:
        """Yield the rows of the answer, then the facts that it ends with. Raises :class:`GroupFailed`."""
        deadline_s = time.monotonic() + limit_s
        self._child.begin_task()
        self._child.channel.send(request)
        while True:
            alive = self._child.alive
            for answer in self._child.receive():
                yield answer
                if not isinstance(answer, Row):
                    return
            if not alive or self._child.channel.ended:
                end = self._child.bury(exit_s=EXIT_S)
                raise GroupFailed(f"its process died ({end})", out_of_memory=end.out_of_memory)
            if (left_s := deadline_s - time.monotonic()) <= 0:
                self._child.kill()
                raise GroupFailed(f"it was killed: it had not ended after {limit_s:.0f} s")
            listen([self._child], left_s)

    def close(self) -> None:
        """Let it end by itself, or end it."""
        self._child.bury(exit_s=EXIT_S)

    def kill(self) -> None:
        """End it at once, with the processes that it has started."""
        self._child.kill()
