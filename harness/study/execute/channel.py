"""Messages between the coordinator and its worker processes: pickled, each behind its length, over a socket.

The coordinator's end never waits: a worker that is stopped in the middle of a message must not stop everyone.
"""

from __future__ import annotations

import pickle
import selectors
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

_LENGTH = struct.Struct("<Q")
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker waits for its first assignment."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint to keep."""

    trial: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a report of a trial that is judged."""

    reason: str
    """Why to give the trial up; empty: go on."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """What the worker does now should end soon."""

    reason: str


def frame(message: Any) -> bytes:
    """Return a message as it travels."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def read_message(file: IO[bytes]) -> Any:
    """Wait for the next message. Raises :class:`EOFError` when the other end is gone."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


class Channel:
    """The coordinator's end of a connection."""

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
        """Give the descriptor back; the other end takes it for the end of this process."""
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
