"""Standard output and error that never end a command: what they cannot take is escaped, dropped, or told at the end."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, Self, TextIO

from typing_extensions import Buffer

ESCAPED = "harness-escaped"
"""Error handler for text that an encoding cannot take: ``backslashreplace``, but with stray bytes as ``\\xff``."""


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    # Python keeps a byte of a file's name that is no text as U+DC00 and the byte.
    parts = [f"\\x{ord(x) - 0xDC00:02x}" if 0xDC80 <= ord(x) <= 0xDCFF else _backslashed(x) for x in letters]
    return "".join(parts), error.end


def _backslashed(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(ESCAPED, _escaped)


class Streams:
    r"""Puts standard output and error into a form that no ``print`` can fail on, for as long as it is entered.

    Letters that the encoding lacks, and bytes of a file's name that are no text, are written as escapes such as
    ``\u65e5``. After the first failure of the system below nothing more is written: a pipe whose reader has gone, or
    a disk that is full, must not end a search of hours, nor leave its folder without the last files.
    """

    def __enter__(self) -> Self:
        _open_missing()
        self._before = sys.stdout, sys.stderr
        self._raw, sys.stdout = _guarded(sys.stdout)
        _, sys.stderr = _guarded(sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = self._before

    def lost(self) -> str:
        """Return why not all of standard output could be written, or ``""``; a reader who has enough is no reason."""
        sys.stdout.flush()
        failure = self._raw.failure if self._raw else None
        if failure is None or failure.errno == errno.EPIPE:
            return ""
        return failure.strerror or str(failure)


class _Unfailing(io.RawIOBase):
    """Writes to another stream until that fails, then to nowhere."""

    def __init__(self, below: Any) -> None:
        self._below = below
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._below.fileno())

    def isatty(self) -> bool:
        return bool(self._below.isatty())

    def write(self, data: Buffer, /) -> int | None:
        if self.failure is None:
            try:
                written: int | None = self._below.write(data)
                return written
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def _open_missing() -> None:
    """Let descriptors that the command was started without lead nowhere, before a file of the run gets their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _guarded(stream: TextIO | None) -> tuple[_Unfailing | None, TextIO]:
    """Return the stream in its new form with its lowest layer; one that is no file of the system stays as it is."""
    if stream is None:  # Python's word for a descriptor that was closed
        return None, io.StringIO()
    if not isinstance(stream, io.TextIOWrapper):
        return None, stream
    stream.flush()
    raw = _Unfailing(getattr(stream.buffer, "raw", stream.buffer))
    return raw, io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=ESCAPED,
        line_buffering=stream.line_buffering or stream.write_through,
    )
