"""The newest rows of a table of doubles, in a nameless file that two processes share.

One of them writes: a row first, then the number of rows. The other reads when it wants to, without a thread that drains
and without mapping the file, so that it does not count as its memory.
"""

from __future__ import annotations

import os
import struct
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

_COUNT = struct.Struct("<q")
DOUBLE = 8


class Ring:
    """``capacity`` rows of ``width`` doubles behind the file ``descriptor``, which its owner opens and closes."""

    def __init__(self, descriptor: int, *, width: int, capacity: int) -> None:
        self._descriptor = descriptor
        self._row_bytes = DOUBLE * width
        self._capacity = capacity

    @property
    def count(self) -> int:
        """How many rows have been written, those included that newer ones have replaced."""
        data = os.pread(self._descriptor, _COUNT.size, 0)
        return int(_COUNT.unpack(data)[0]) if data else 0

    @property
    def oldest(self) -> int:
        """The number of the oldest row that stays for the time that it takes to read it: the next one goes first."""
        return max(0, self.count - self._capacity + 1)

    def append(self, row: Sequence[float]) -> None:
        """Write one row, in the one process that writes."""
        count = self.count
        os.pwrite(self._descriptor, array("d", row).tobytes(), self._place(count))
        os.pwrite(self._descriptor, _COUNT.pack(count + 1), 0)

    def read(self, first: int, last: int) -> bytes:
        """Return rows ``first`` to ``last``, the last one excluded, as doubles one after the other.

        Those that newer ones replace meanwhile are left out.
        """
        parts = []
        row = first
        while row < last:
            rows = min(last - row, self._capacity - row % self._capacity)
            parts.append(os.pread(self._descriptor, rows * self._row_bytes, self._place(row)))
            row += rows
        lost = min(max(0, self.oldest - first), max(0, last - first))
        return b"".join(parts)[lost * self._row_bytes :]

    def _place(self, row: int) -> int:
        return _COUNT.size + row % self._capacity * self._row_bytes


def nameless_file() -> int:
    """Return the descriptor of a new file without a name: in memory on Linux, elsewhere in the temporary folder."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("harness")
    descriptor, path = tempfile.mkstemp(prefix="harness-")
    Path(path).unlink()
    return descriptor
