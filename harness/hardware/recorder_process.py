"""The process that samples, as the one that is sampled sees it: started, asked, read, and done without.

Whatever becomes of it, its parent only knows less: nothing here raises for a process that cannot be started, dies or
hangs, and none of its answers is waited for longer than ANSWER_S seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from subprocess import DEVNULL, Popen, TimeoutExpired

from harness.hardware.recorder import WIDTH
from harness.hardware.ring import Ring, nameless_file
from harness.hardware.watched import Watched
from harness.records import TELEMETRY

START_S = 10.0
"""How long its first answer may take: as long as a driver that was asleep takes to start."""
ANSWER_S = 1.0
EXIT_S = 1.0
"""How long it may take to end by itself, and to be gone after it was killed."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from harness.hardware.recorder import main; main()"
)
_KEPT_BYTES = 2**12


class RecorderProcess:
    """Runs :mod:`harness.hardware.recorder`, which keeps its ``keep`` newest rows.

    On Linux the kernel ends it with the thread that starts it, so that must be one that lasts.
    """

    def __init__(self, watched: Watched, *, interval_s: float, keep: int) -> None:
        self._trouble = "the sampler has not been started"
        """Why nothing is measured now; empty when all is well."""
        self._missing: dict[str, str] = {}
        """Why figures are missing now, by the names in TELEMETRY."""
        self._ever: dict[str, str] = {}
        """Why figures were missing when they last were."""
        self._order = {"watched": asdict(watched), "interval_s": interval_s, "capacity": keep}
        self._keep = keep
        self._files: tuple[int, int] | None = None
        """Of the rows, and of what the process has to say when it fails."""
        self._process: Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._unread = b""
        self._asked = 0
        self._answered_unix_s: float | None = None

    @property
    def ring(self) -> Ring | None:
        """What was sampled; None before there was a start."""
        return Ring(self._files[0], width=WIDTH, capacity=self._keep) if self._files else None

    def start(self) -> None:
        """Start the process, unless it runs; the reasons say why it could not be."""
        if self._connection is not None:
            return
        try:
            self._open()
        except (AttributeError, OSError, ValueError) as error:  # no POSIX system, or no room for one more
            self._trouble = f"the telemetry process cannot be started ({error})"
        else:
            self._trouble, self._unread, self._asked, self._answered_unix_s = "", b"", 0, None

    def stop(self) -> None:
        """End the process, unless it has ended; what was sampled stays."""
        self._listen()
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)  # a forked process may hold it too
            self._bury()
            self._trouble = "the sampler has been stopped"

    def ask(self) -> float | None:
        """Have a sample taken now and return its Unix time; None when nobody answers.

        A process that did not answer is not waited for again until it has.
        """
        self._listen()
        if self._connection is None or self._asked:
            return None
        limit_s = START_S if self._answered_unix_s is None else ANSWER_S
        deadline_s = time.monotonic() + limit_s
        try:
            self._connection.send(b"?")
        except OSError:
            self._bury()
            return None
        self._asked = 1
        while self._asked and self._connection is not None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                self._trouble = f"the telemetry process has not answered for {limit_s:g} s"
                return None
            self._hear(left_s)
        return None if self._asked else self._answered_unix_s

    def reasons(self) -> dict[str, str]:
        """Return the last reason known for each figure in TELEMETRY that was missing."""
        self._listen()
        if not self._trouble:
            return self._ever
        # What could not be measured before the trouble keeps its own reason.
        return {**dict.fromkeys(TELEMETRY, self._trouble), **self._missing}

    def _listen(self) -> None:
        """Take in what it has said, without waiting."""
        while self._connection is not None and self._hear(0.0):
            pass

    def _open(self) -> None:
        if self._files is None:
            self._files = nameless_file(), nameless_file()
            for descriptor in self._files:
                weakref.finalize(self, os.close, descriptor)
        rows, errors = self._files
        ours, theirs = socket.socketpair()
        with theirs:
            order = {**self._order, "parent": os.getpid(), "rows": rows, "connection": theirs.fileno()}
            try:
                with _signals_held_back():
                    self._process = Popen(
                        [sys.executable, "-c", _START, json.dumps(order), json.dumps(sys.path)],
                        stdin=DEVNULL,
                        stdout=DEVNULL,
                        stderr=errors,
                        pass_fds=(rows, theirs.fileno()),
                    )
            except BaseException:
                ours.close()
                raise
        self._connection = ours

    def _hear(self, wait_s: float) -> bool:
        """Take in what it says within so many seconds, and tell whether it said anything."""
        assert self._connection is not None
        try:
            self._connection.settimeout(wait_s)
            data = self._connection.recv(2**16)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            data = b""
        if not data:
            self._bury()
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        for message in map(json.loads, lines):
            self._missing = message.get("reasons", self._missing)
            self._ever |= self._missing
            if "time_unix_s" in message:
                self._answered_unix_s, self._asked, self._trouble = message["time_unix_s"], 0, ""
        return True

    def _bury(self) -> None:
        """Give everything back but what was sampled."""
        assert self._connection is not None
        assert self._process is not None
        self._connection.close()
        self._connection = None
        with suppress(TimeoutExpired):
            self._process.wait(EXIT_S)
        if self._process.returncode is None:
            self._process.kill()
            with suppress(TimeoutExpired):  # a process that hangs in a driver is left to the system
                self._process.wait(EXIT_S)
        self._trouble = f"the telemetry process ended ({self._cause()})"

    def _cause(self) -> str:
        assert self._process is not None
        assert self._files is not None
        code, errors = self._process.returncode, self._files[1]
        if code is None:
            return "it cannot be killed"
        if code < 0:
            known = {number.value: number.name for number in signal.Signals}
            return known.get(-code, f"signal {-code}")
        end = os.fstat(errors).st_size
        text = os.pread(errors, _KEPT_BYTES, max(0, end - _KEPT_BYTES)).decode(errors="replace")
        said = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
        return f"exit code {code}{': ' if said else ''}{said}"


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Have a new process begin with them blocked, so that there is no moment in which Ctrl-C ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
