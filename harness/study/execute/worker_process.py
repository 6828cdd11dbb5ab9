"""A worker process as the coordinator sees it: started, listened to, killed, buried."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import DEVNULL, PIPE, STDOUT, Popen, TimeoutExpired
from typing import Any

import psutil

from harness.errors import HardwareError
from harness.hardware.openmp import waiting_asleep
from harness.records import Outcome
from harness.study.execute.channel import Channel
from harness.study.execute.sharing import Shared

OUTPUT_BYTES = 2**14
"""What is kept of a worker's output: the end of it says what it died of."""

EXIT_S = 1.0
"""How long a worker may take to end by itself after its connection has."""

KILL_S = 10.0
"""How long it may take to be gone after it was killed: as long as giving back its memory takes."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop())\nfrom harness.study.execute.worker import main; main()"
)
"""A worker finds modules, the user's too, where this process does. An environment variable would say it as well to
whatever the worker starts."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_OUT_OF_MEMORY = re.compile(r"MemoryError|std::bad_alloc|[Cc]annot allocate memory|can't allocate memory")


class WorkerProcess:
    """A process that runs :mod:`harness.study.execute.worker` on number ``device`` of the devices of its workshop.

    Raises :class:`HardwareError` when it cannot be started.
    """

    def __init__(self, shared: Shared, *, device: int, threads: int) -> None:
        self.ready = False
        """Whether it has said that it waits for assignments."""
        self.output = b""
        """The end of what it has printed."""
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        with theirs:
            try:
                self._process = _start(theirs.fileno(), shared.fileno(), device=device, threads=threads)
            except OSError as error:
                self.channel.close()
                raise HardwareError(
                    f"a worker process cannot be started ({error.strerror}); use fewer workers"
                ) from error
        assert self._process.stdout is not None
        self._printed = self._process.stdout
        os.set_blocking(self._printed.fileno(), False)

    @property
    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    @property
    def sources(self) -> Iterator[tuple[int, int]]:
        """Yield the descriptors to select on, and what for."""
        yield self.channel.fileno(), self.channel.events
        if not self._printed.closed:
            yield self._printed.fileno(), selectors.EVENT_READ

    def receive(self) -> Iterator[Any]:
        """Send and read what goes through without waiting; yield the messages."""
        self._listen()
        self.channel.flush()
        yield from self.channel.receive()

    def kill(self) -> None:
        """End the process at once, with those that it has started."""
        if not self.alive:
            return
        family: list[psutil.Process] = []
        with suppress(psutil.Error):
            family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for member in family:
            with suppress(psutil.Error):
                member.kill()

    def bury(self) -> int | None:
        """Give everything back; return the exit code, or minus the number of the signal that ended the process.

        It is killed if it takes too long to end; None if not even that helps, as while a disk does not answer.
        """
        with suppress(TimeoutExpired):
            self._process.wait(EXIT_S)
        self.kill()
        with suppress(TimeoutExpired):
            self._process.wait(KILL_S)
        self._listen()
        self._printed.close()
        self.channel.close()
        return self._process.returncode

    def _listen(self) -> None:
        """Keep the end of what was printed."""
        with suppress(BlockingIOError):
            while not self._printed.closed:
                data = os.read(self._printed.fileno(), 2**16)
                self.output = (self.output + data)[-OUTPUT_BYTES:]
                if not data:
                    self._printed.close()


def cause_of_death(code: int | None, output: bytes, *, oom_killed: bool) -> tuple[Outcome, str]:
    """Tell by the exit code and the last output why a worker died; the trial that it had ended as this outcome."""
    text = output.decode(errors="replace")
    if code == -signal.SIGKILL and oom_killed:
        return Outcome.OOM, "out of memory: its worker was killed by the kernel"
    if code is None:
        end = "its worker does not answer and cannot be killed"
    elif code < 0:
        known = {number.value: number.name for number in signal.Signals}
        end = f"its worker died of {known.get(-code, f'signal {-code}')}"
    else:
        end = f"its worker exited with code {code}"
    lines = text.strip().splitlines()
    if "Traceback (most recent call last)" in text:
        end = f"{end}: {lines[-1]}"
    if _OUT_OF_MEMORY.search(text):
        return Outcome.OOM, f"out of memory: {end}"
    return Outcome.CRASHED, end


def _start(connection: int, shared: int, *, device: int, threads: int) -> Popen[bytes]:
    numbers = (os.getpid(), connection, shared, threads, device)
    with _ctrl_c_held_back():
        return Popen(
            [sys.executable, "-c", _START, *map(str, numbers), json.dumps(sys.path)],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            pass_fds=(connection, shared),
            env={**os.environ, **waiting_asleep(os.environ), **dict.fromkeys(_THREADS, str(threads))},
        )


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Have a new process begin with Ctrl-C blocked, so that there is no moment in which it ends a worker."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
