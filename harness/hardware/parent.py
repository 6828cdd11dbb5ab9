"""The end of a process with the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the process ``parent``, its own, has ended, even by SIGKILL.

    On Linux that is when the thread that started it ends, so that must be one that lasts. Elsewhere the process only
    ends if it is an orphan already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it was gone before the kernel could be asked
