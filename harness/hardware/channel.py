"""Messages between a process and its children: pickled, each behind its length, over a socket.

A :class:`Channel` never waits: a process that is stopped in the middle of a message must not stop everyone.
"""

from __future__ import annotations

import pickle
import selectors
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

_LENGTH = struct.Struct("<Q")
_CHUNK_BYTES = 2**20


def frame(message: Any) -> bytes:
    """Return a message as it travels."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def messages(connection: socket.socket) -> Iterator[Any]:
    """Yield what the other end sends, waiting for each message, until that end is gone."""
    with connection.makefile("rb") as file, suppress(ConnectionError):
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            data = file.read(length)
            if len(data) < length:
                return
            yield pickle.loads(data)


class Channel:
    """One end of a connection."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._inbox = bytearray()
        self._outbox = bytearray()
        self.ended = False
        """Whether the other end is gone."""

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._end.fileno()

    @property
    def events(self) -> int:
        """What to select for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)

    def send(self, message: Any) -> None:
        """Send a message, or what of it the other end takes now; :meth:`flush` sends the rest."""
        self._outbox += frame(message)
        self.flush()

    def flush(self) -> None:
        """Send what the other end takes now."""
        try:
            while self._outbox:
                del self._outbox[: self._end.send(self._outbox)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._outbox.clear()  # that the other end is gone shows when the last it sent has been read

    def receive(self) -> Iterator[Any]:
        """Yield the messages that have come in whole."""
        self._read()
        while len(self._inbox) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._inbox)
            end = _LENGTH.size + length
            if len(self._inbox) < end:
                return
            data = self._inbox[_LENGTH.size : end]
            del self._inbox[:end]
            yield pickle.loads(data)

    def close(self) -> None:
        """End the connection, whoever else may have its descriptor; the other end takes it for the end of this one."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _read(self) -> None:
        try:
            while chunk := self._end.recv(_CHUNK_BYTES):
                self._inbox += chunk
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        self.ended = True
