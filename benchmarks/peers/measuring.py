"""The wall time and the CPU time of a whole command, with all the processes that it leaves behind."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36
LEFT_BEHIND_S = 30.0
"""How long processes that a command left behind may take to end; the next command is not begun beside them."""


class Measured(NamedTuple):
    """What a command took, and what it printed."""

    wall_s: float
    cpu_s: float
    """Of all processes together; above the wall time where several cores worked."""
    load: float
    """Average of the last minute, as the command began."""
    output: str


class CommandFailed(Exception):
    """A command that did not end well; the message has the end of what it said."""


def adopt_orphans() -> None:
    """Become the parent of processes that are left behind below this one, so that their CPU time is counted."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command to its end. Raises :class:`CommandFailed`."""
    load, cpu_before_s, started_s = os.getloadavg()[0], _children_s(), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started_s
    _reap()
    if done.returncode:
        raise CommandFailed(f"exit code {done.returncode}: {' '.join(done.stderr.strip().splitlines()[-3:])}")
    return Measured(wall_s, _children_s() - cpu_before_s, load, done.stdout)


def _children_s() -> float:
    """Return the CPU seconds of all ended children and of those that they waited for."""
    times = os.times()
    return times.children_user + times.children_system


def _reap() -> None:
    deadline_s = time.monotonic() + LEFT_BEHIND_S
    while time.monotonic() < deadline_s:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            time.sleep(0.05)
