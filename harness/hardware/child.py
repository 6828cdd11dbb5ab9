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
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from typing import Any, NoReturn, Protocol

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
    "import json, sys; sys.path[:], parent, order = json.loads(sys.argv.pop())\n"
    "from harness.hardware.child import Order, begin; begin(Order(**order), parent)"
)
"""A child finds modules, the user's too, where this process does. An environment variable would say it as well to
whatever the child starts."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


@dataclass(frozen=True, slots=True)
class Order:
    """What a new process is to do: to call ``main`` of a module with the connection and these arguments."""

    module: str
    arguments: Mapping[str, Any]
    """What JSON holds."""
    descriptors: Mapping[str, int]
    """More arguments: open files of the process that orders, which the new one gets; and its ``connection``."""
    ignored: tuple[int, ...]
    """The numbers of the signals that do not end it."""


class Process(Protocol):
    """A process that was started for this one, as :class:`subprocess.Popen` has it."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return its exit code, or minus the number of the signal that ended it; None: it runs."""

    def wait(self, timeout: float) -> int:
        """Return that once it has ended. Raises :class:`subprocess.TimeoutExpired`."""

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended."""


Start = Callable[[Order, int], Process]
"""Starts a process that prints into a descriptor. Raises :class:`OSError` when it cannot."""


def spawn(order: Order, output: int, *, environment: Mapping[str, str] | None = None) -> Popen[bytes]:
    """Start a new Python, with ``environment`` added to this process's own."""
    with _signals_held_back():
        return Popen(
            [sys.executable, "-c", _START, json.dumps([sys.path, os.getpid(), asdict(order)])],
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            pass_fds=tuple(order.descriptors.values()),
            env={**os.environ, **(environment or {})},
        )


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

    The open files in ``inherited`` are further arguments, and the signals in ``ignored`` do not end it. On Linux the
    kernel ends it with the thread that starts it, so that must be one that lasts. Raises :class:`OSError` when it
    cannot be started.
    """

    def __init__(
        self,
        module: str,
        arguments: Mapping[str, Any],
        *,
        inherited: Mapping[str, int] | None = None,
        ignored: Iterable[signal.Signals] = (signal.SIGINT,),
        start: Start = spawn,
    ) -> None:
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        descriptors = {"connection": theirs.fileno(), **(inherited or {})}
        self._output: int | None
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._process = start(Order(module, arguments, descriptors, tuple(map(int, ignored))), output)
        except BaseException:
            self.channel.close()
            os.close(self._output)
            raise
        finally:
            theirs.close()
            os.close(output)
        self.silent = False
        """Whether all is there that it will ever say, as of the last :meth:`receive` that was read to its end."""
        self.begin_task()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def sources(self) -> Iterator[tuple[int, int]]:
        """The descriptors to select on, and what for."""
        yield self.channel.fileno(), self.channel.events
        if self._output is not None:
            yield self._output, selectors.EVENT_READ

    def begin_task(self) -> None:
        """Forget what it has printed, and count from here on how often the kernel kills for memory."""
        self._printed = b""
        self._oom_kills = oom_kills()

    def receive(self) -> Iterator[Any]:
        """Send and read what goes through without waiting; yield the messages."""
        alive = self.alive  # asked first: what a dead one has sent is then all there
        self._read()
        self.channel.flush()
        yield from self.channel.receive()
        self.silent = not alive or self.channel.ended

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
        self._hang_up()
        code = self._process.returncode
        starved = code == -signal.SIGKILL and self._oom_kills is not None and (oom_kills() or 0) > self._oom_kills
        return End(code, self._printed.decode(errors="replace"), starved)

    def _read(self) -> None:
        """Keep the end of what was printed."""
        with suppress(BlockingIOError):
            while self._output is not None:
                data = os.read(self._output, 2**16)
                self._printed = (self._printed + data)[-OUTPUT_BYTES:]
                if not data:
                    self._hang_up()

    def _hang_up(self) -> None:
        """Read no more of what it prints."""
        if self._output is not None:
            os.close(self._output)
            self._output = None


def listen(children: Iterable[Child], timeout_s: float) -> None:
    """Wait until one of several children says or prints something, for so many seconds and TURN_S at most."""
    with selectors.PollSelector() as selector:
        for child in children:
            for descriptor, events in child.sources:
                selector.register(descriptor, events)
        selector.select(max(0.0, min(TURN_S, timeout_s)))


def begin(order: Order, parent: int) -> NoReturn:
    """Do in a new process, a child of ``parent``, what it was started for, and end without waiting for its threads."""
    code = 1
    try:
        for number in order.ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _held_back())
        die_with(parent)
        _be_called(f"harness-{order.module.rpartition('.')[2]}")
        descriptors = dict(order.descriptors)
        for descriptor in descriptors.values():
            os.set_inheritable(descriptor, False)
        connection = socket.socket(fileno=descriptors.pop("connection"))
        import_module(order.module).main(connection, **order.arguments, **descriptors)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if isinstance(sys.exception(), Exception):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def volunteer_for_the_oom_killer() -> None:
    """When the machine runs out of memory, this process goes and the one that started it stays."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the process ``parent``, its own, has ended, even by SIGKILL.

    On Linux that is when the thread that started it ends, so that must be one that lasts. Elsewhere the process only
    ends if it is an orphan already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it was gone before the kernel could be asked


def _be_called(name: str) -> None:
    """Set what ``top`` and ``ps`` call this process, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


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
