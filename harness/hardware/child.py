"""Child processes of Python: started where this process finds its modules, heard without waiting, ended for good.

A child talks over a :class:`Channel`, prints into a pipe whose last bytes are kept, and ends with its parent. Whatever
becomes of it, its parent does not wait for it longer than it says, and learns how it ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from subprocess import DEVNULL, PIPE, STDOUT, Popen, TimeoutExpired
from typing import Any

import psutil

from harness.hardware.cgroup import oom_kills
from harness.hardware.channel import Channel

OUTPUT_BYTES = 2**14
"""What is kept of a child's output: the end of it says what it died of."""
EXIT_S = 1.0
"""How long a child may take to end by itself after its connection has."""
KILL_S = 10.0
"""How long it may take to be gone after it was killed: as long as giving back its memory takes."""
TURN_S = 0.25
"""How often silent children are looked at: a process that a dead one has left may hold its connection open."""

_START = (
    "import json, sys; order = json.loads(sys.argv.pop()); sys.path[:] = order.pop('path')\n"
    "from harness.hardware.child import begin; begin(**order)"
)
"""A child finds modules, the user's too, where this process does. An environment variable would say it as well to
whatever the child starts."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended; ``str`` tells it in a few words."""

    code: int | None
    """Its exit code, or minus the number of the signal that ended it; None: it cannot even be killed."""
    printed: str
    """The end of what it printed."""
    out_of_memory: bool
    """Whether the kernel killed it for memory."""

    @property
    def signal(self) -> str:
        """The name of the signal that ended it, or ``""``."""
        number = -(self.code or 0)
        known = {each.value: each.name for each in signal.Signals}
        return known.get(number, f"signal {number}") if number > 0 else ""

    @property
    def last_line(self) -> str:
        """The last line with anything in it that it printed."""
        return next((line.strip() for line in reversed(self.printed.splitlines()) if line.strip()), "")

    def __str__(self) -> str:
        if self.out_of_memory:
            return "killed by the kernel: out of memory"
        if self.code is None:
            return "it cannot be killed"
        return ": ".join(filter(None, (self.signal or f"exit code {self.code}", self.last_line)))


class Child:
    """A process that calls ``main`` of a module with its end of a connection and with ``arguments``, which are JSON.

    The descriptors in ``inherited`` are open in it, the signals in ``ignored`` do not end it, and ``environment`` is
    added to this process's own. On Linux the kernel ends it with the thread that starts it, so that must be one that
    lasts. Raises :class:`OSError` when it cannot be started.
    """

    def __init__(
        self,
        module: str,
        arguments: Mapping[str, Any],
        *,
        inherited: Sequence[int] = (),
        ignored: Iterable[signal.Signals] = (signal.SIGINT,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        order = {
            "path": sys.path,
            "module": module,
            "arguments": dict(arguments),
            "parent": os.getpid(),
            "connection": theirs.fileno(),
            "ignored": [int(number) for number in ignored],
        }
        with theirs:
            try:
                with _signals_held_back():
                    self._process = Popen(
                        [sys.executable, "-c", _START, json.dumps(order)],
                        stdin=DEVNULL,
                        stdout=PIPE,
                        stderr=STDOUT,
                        pass_fds=(theirs.fileno(), *inherited),
                        env={**os.environ, **(environment or {})},
                    )
            except BaseException:
                self.channel.close()
                raise
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self.begin_task()

    @property
    def alive(self) -> bool:
        """Whether the process runs. Asked before :meth:`receive`: what a dead one has sent is then all there."""
        return self._process.poll() is None

    @property
    def sources(self) -> Iterator[tuple[int, int]]:
        """The descriptors to select on, and what for."""
        yield self.channel.fileno(), self.channel.events
        if not self._pipe.closed:
            yield self._pipe.fileno(), selectors.EVENT_READ

    def begin_task(self) -> None:
        """Forget what it has printed, and count from here on how often the kernel kills for memory."""
        self._printed = b""
        self._oom_kills = oom_kills()

    def receive(self) -> Iterator[Any]:
        """Send and read what goes through without waiting; yield the messages."""
        self._read()
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

    def bury(self, *, exit_s: float = EXIT_S, kill_s: float = KILL_S) -> End:
        """End the connection, give everything back, and return how the process ended.

        It is killed if it takes longer than ``exit_s`` to end, and left to the system if it is not gone ``kill_s``
        seconds later, as while a disk does not answer.
        """
        self.channel.close()
        with suppress(TimeoutExpired):
            self._process.wait(exit_s)
        self.kill()
        with suppress(TimeoutExpired):
            self._process.wait(kill_s)
        self._read()
        self._pipe.close()
        code = self._process.returncode
        starved = code == -signal.SIGKILL and self._oom_kills is not None and (oom_kills() or 0) > self._oom_kills
        return End(code, self._printed.decode(errors="replace"), starved)

    def _read(self) -> None:
        """Keep the end of what was printed."""
        with suppress(BlockingIOError):
            while not self._pipe.closed:
                data = os.read(self._pipe.fileno(), 2**16)
                self._printed = (self._printed + data)[-OUTPUT_BYTES:]
                if not data:
                    self._pipe.close()


def listen(children: Iterable[Child], timeout_s: float) -> None:
    """Wait until one of several children says or prints something, for so many seconds and TURN_S at most."""
    with selectors.PollSelector() as selector:
        for child in children:
            for descriptor, events in child.sources:
                selector.register(descriptor, events)
        selector.select(max(0.0, min(TURN_S, timeout_s)))


def begin(module: str, arguments: Mapping[str, Any], parent: int, connection: int, ignored: Sequence[int]) -> None:
    """Do in a new process what a :class:`Child` is for."""
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held_back())
    die_with(parent)
    os.set_inheritable(connection, False)
    import_module(module).main(socket.socket(fileno=connection), **arguments)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the process ``parent``, its own, has ended, even by SIGKILL.

    On Linux that is when the thread that started it ends, so that must be one that lasts. Elsewhere the process only
    ends if it is an orphan already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it was gone before the kernel could be asked


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Have a new process begin with them blocked, so that there is no moment in which Ctrl-C ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _held_back())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _held_back() -> tuple[signal.Signals, ...]:
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP
