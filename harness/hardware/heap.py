"""The C library's memory, where it is GNU's: keeping what is freed for the next step, and giving it back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` (malloc.h)."""
_LARGEST = 32 * 2**20
"""Bytes of the largest block that can come from the heap; the library takes no greater threshold."""
_NEVER = 2**31 - 1
_keeping = False
"""Whether the process is inside of :func:`freed_memory_kept`."""


def trim() -> None:
    """Have the C library give freed memory back to the system; it keeps some of it."""
    library = _c_library()
    if library is not None:
        library.malloc_trim(0)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process keep what is freed meanwhile, for what it allocates next, until :func:`trim`.

    By itself the library gives large blocks back as soon as they are free, and every step of a training asks the system
    for its tensors anew, which come as pages of zeros: a step of a small convolutional network took 1.1 to 1.2 times
    as long on a CPU. Afterwards the thresholds are those that the library comes to when a large block is freed.
    """
    global _keeping
    library = _c_library()
    if library is None or _keeping:
        yield
        return
    _keeping = True
    library.mallopt(_MMAP_THRESHOLD, _LARGEST)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
        _keeping = False


@cache
def _c_library() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
