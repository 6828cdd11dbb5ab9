"""One object for many processes, its arrays in memory that they share.

Pickle's protocol 5 hands out the buffers of arrays, tables and the like instead of copying them into its stream. They
are laid out one after the other in a file without a name, whose descriptor another process inherits and maps: one in
memory, or on the disk where memory does not hold it. Since nothing but descriptors leads to the file, nothing is left
of it however its users end.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import IO, Any

import numpy as np

from harness.data.room import Mapping, beyond_memory, scratch_file
from harness.errors import HardwareError
from harness.hardware.ring import nameless_file
from harness.records import MIB

ALIGNMENT = 64
"""Bytes: a cache line, and as much as any vector instruction asks for."""

_COUNT = struct.Struct("<Q")


class Shared:
    """An object as other processes can load it, by a descriptor that they inherit."""

    def __init__(self, thing: Any) -> None:
        """Write it to a new file. Raises :class:`HardwareError` when there is no room for it."""
        parts = _parts(thing)
        sizes = [part.nbytes for part in parts]
        head = _COUNT.pack(len(sizes)) + np.array(sizes, dtype="<u8").tobytes()
        self.size = sum(map(_padded, [len(head), *sizes]))
        """In bytes."""
        if beyond_memory(self.size):
            self._file = scratch_file(self.size, "the data")
        else:
            self._file = os.fdopen(nameless_file(), "w+b")
        try:
            _write(self._file, [memoryview(head), *parts])
        except OSError as error:
            self.close()
            raise HardwareError(
                f"no room for the {self.size / MIB:,.0f} MiB of data that worker processes share ({error.strerror}); "
                "train in one process, or free memory"
            ) from error

    def fileno(self) -> int:
        """Return the descriptor to inherit."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of it; who has loaded it keeps it."""
        with suppress(OSError):  # what there was no room for is still to be written
            self._file.close()


def load_shared(descriptor: int) -> Any:
    """Return the object behind a descriptor of :class:`Shared`.

    Its arrays may be written to; a page that is written to becomes this process's own.
    """
    view = memoryview(Mapping(descriptor, 0, access=mmap.ACCESS_COPY))
    (count,) = _COUNT.unpack_from(view)
    sizes = np.frombuffer(view, dtype="<u8", count=count, offset=_COUNT.size).tolist()
    starts = accumulate(map(_padded, sizes), initial=_padded(_COUNT.size * (1 + count)))
    stream, *buffers = (view[start : start + size] for start, size in zip(starts, sizes, strict=False))
    return pickle.loads(stream, buffers=buffers)


class _Pickler(pickle.Pickler):
    """Of an array with gaps, which has no buffer to hand out, it takes a copy without."""

    def reducer_override(self, thing: Any) -> Any:
        gapless = type(thing) is not np.ndarray or thing.flags.forc or thing.dtype.hasobject
        return NotImplemented if gapless else np.ascontiguousarray(thing).__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _parts(thing: Any) -> Sequence[memoryview]:
    """Return the pickle stream, then the buffers that it refers to."""
    stream, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(stream, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append).dump(thing)
    return [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _write(file: IO[bytes], parts: Iterable[memoryview]) -> None:
    for part in parts:
        file.write(part)
        file.write(bytes(_padded(part.nbytes) - part.nbytes))
    file.flush()
