"""Room for arrays that main memory may not hold: where it does they are plain arrays, else they lie in a mapped file.

What is in such a file is read from the disk as it is asked for, and kept by the system for as long as it has memory to
spare. The file has no name, so that nothing is left of it however the process ends.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from harness.cache import user_cache
from harness.errors import DataError
from harness.hardware import free_host_mib
from harness.records import MIB

SHARE = 0.5
"""Of the free memory, what one array may take; from there on it lies on the disk."""
CHUNK_BYTES = 16 * 2**20
"""What is copied or looked at in one go of an array that may be larger than memory."""


class Mapping(mmap.mmap):
    """A map of a file of this program's own. Of no other pages are let go: what a user wrote to them might be lost."""


def scratch_folder() -> Path:
    """Return where the files are that have no name, ``$XDG_CACHE_HOME/harness/scratch``; it need not exist."""
    return user_cache() / "scratch"


def beyond_memory(size: int) -> bool:
    """Tell whether so many bytes are more than half of what is free of main memory."""
    return size > free_host_mib() * SHARE * MIB


def scratch_file(size: int, what: str) -> IO[bytes]:
    """Return a file without a name, of so many bytes that the disk has set aside for it.

    Raises :class:`DataError`, which says ``what`` was to be kept in it, where the disk has no room for that.
    """
    folder = scratch_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as failing:
            file = failing.enter_context(tempfile.TemporaryFile(dir=folder))
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a mapped file that the disk cannot hold kills its writer
            else:
                file.truncate(size)
            failing.pop_all()
    except OSError as error:
        raise DataError(
            f"{what}: {size / MIB:,.0f} MiB are too many for memory, and for {folder} ({error.strerror}); use fewer or"
            " smaller samples, or set XDG_CACHE_HOME to a folder on a larger disk"
        ) from None
    return file


def room(shape: tuple[int, ...], dtype: np.dtype | type, what: str) -> np.ndarray:
    """Return an array to be filled: in memory where half of what is free holds it, else in a mapped file.

    Raises as :func:`scratch_file` does.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not beyond_memory(size):
        return np.empty(shape, dtype)
    with scratch_file(size, what) as file:
        mapping = Mapping(file.fileno(), size)  # has a descriptor of its own
    return np.frombuffer(mapping, dtype).reshape(shape)


def rows_of(array: np.ndarray, rows: np.ndarray, what: str) -> np.ndarray:
    """Return a copy of some samples of an array, in memory or not as :func:`room` has it."""
    found = room((len(rows), *array.shape[1:]), array.dtype, what)
    for part in chunks(found):
        np.take(array, rows[part], axis=0, out=found[part], mode="clip")  # the other modes copy twice
        let_go(array)
        let_go(found[part])
    return found


def chunks(array: np.ndarray) -> Iterator[slice]:
    """Yield slices of an array's samples that are small enough to be worked on in memory."""
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    return (slice(start, start + step) for start in range(0, len(array), step))


def let_go(array: np.ndarray) -> None:
    """Take an array that lies in a :class:`Mapping` out of this process's memory; it is read again when it is used.

    The system would do so when memory gets short, but until then it counts as the process's.
    """
    mapping = mapping_of(array)
    if mapping is None or not hasattr(mapping, "madvise"):
        return
    start = array.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
    first, last = -(-start // mmap.PAGESIZE), (start + array.nbytes) // mmap.PAGESIZE
    if first < last:
        mapping.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)


def mapping_of(array: np.ndarray) -> Mapping | None:
    """Return the map of a file of ours that an array, or a view of it, lies in; None where it lies elsewhere."""
    owner: object = array
    while owner is not None and not isinstance(owner, Mapping):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner
