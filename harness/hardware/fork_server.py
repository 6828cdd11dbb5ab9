"""A process that has loaded modules, and forks others that have them too: in milliseconds instead of seconds.

It has done nothing with what it loaded: no thread is running that a fork would lose, and no GPU is in use. Elsewhere
than on Linux a process that has the system's libraries cannot be forked safely, so there each one is started anew.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import struct
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from select import POLLIN, poll
from subprocess import TimeoutExpired
from typing import NoReturn

from harness.hardware.child import Child, Order, Process, begin, spawn
from harness.lazy import loading

FORKS = sys.platform == "linux"
"""Whether processes can be forked here."""
_ORDER_BYTES = 2**16
_FILES = 8
_NUMBER = struct.Struct("<q")
"""What the server tells of a process: its number, then its exit code once it has ended."""
_SAY_S = 1.0
"""How long it may take to tell that."""


class ForkServer:
    """Starts processes that have the modules ``ahead``, with ``environment`` added to this process's own.

    On Linux they end with the thread that made the server. One that is ordered while the server is still loading
    begins when it has loaded. Where there is no server, or it is gone, processes are started without it.
    """

    def __init__(self, ahead: Sequence[str], environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._server: Child | None = None
        self._orders, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with orders:
            if FORKS:
                with suppress(OSError):  # who starts a process without it will be told
                    self._server = Child(
                        "harness.hardware.fork_server",
                        {"ahead": list(ahead)},
                        inherited={"orders": orders.fileno()},
                        start=self._spawn,
                    )

    @property
    def alive(self) -> bool:
        """Whether there is a server."""
        return self._server is not None and self._server.alive

    def start(self, order: Order, output: int) -> Process:
        """Start a process that prints into a descriptor. Raises :class:`OSError` when it cannot."""
        if self.alive:
            with suppress(ConnectionError):
                return self._fork(order, output)
        return self._spawn(order, output)

    def close(self) -> None:
        """End the server, with what it has started."""
        self._orders.close()
        if self._server is not None:
            self._server.kill()
            self._server.bury()
            self._server = None

    def _spawn(self, order: Order, output: int) -> Process:
        return spawn(order, output, environment=self._environment)

    def _fork(self, order: Order, output: int) -> Process:
        ours, theirs = socket.socketpair()
        with theirs:
            files = [theirs.fileno(), output, *order.descriptors.values()]
            try:
                socket.send_fds(self._orders, [json.dumps(asdict(order)).encode()], files)
            except BaseException:
                ours.close()
                raise
        return Forked(ours)


class Forked:
    """A process that the server has forked, or will, as :class:`subprocess.Popen` has it.

    It is still there, though dead, until its exit code is known here: nobody else has its number when it is killed.
    """

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self._heard = b""
        self._end = -1
        """A descriptor that is readable once it has ended; -1: it has no number yet, or has ended."""
        self.pid = 0
        """Its number; 0 until it has one."""
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, or minus the number of the signal that ended it; None: it runs."""
        with suppress(TimeoutExpired):
            self.wait(0.0)
            return self.returncode
        if self._end >= 0 and _readable(self._end):
            with suppress(TimeoutExpired):
                self.wait(_SAY_S)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Return that once it has ended. Raises :class:`subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                while len(self._heard) < 2 * _NUMBER.size and (heard := self._told.recv(2 * _NUMBER.size)):
                    self._heard += heard
            except ConnectionError:
                pass
            except (TimeoutError, BlockingIOError):
                self._know_it()
                raise TimeoutExpired("a forked process", timeout) from None
            # The kernel kills it with the server.
            known = len(self._heard) == 2 * _NUMBER.size
            self.returncode = _NUMBER.unpack_from(self._heard, _NUMBER.size)[0] if known else -signal.SIGKILL
            self._told.close()
            if self._end >= 0:
                os.close(self._end)
                self._end = -1
        return self.returncode

    def _know_it(self) -> None:
        """Take its number, which is its own for as long as its end is not known here."""
        if not self.pid and len(self._heard) >= _NUMBER.size:
            self.pid = _NUMBER.unpack_from(self._heard)[0]
            with suppress(OSError):  # the server is gone, and it with it
                self._end = os.pidfd_open(self.pid)

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended; one that was not forked yet is killed by the server when it is."""
        if self.poll() is None:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            else:
                self._told.shutdown(socket.SHUT_RDWR)


def _readable(descriptor: int) -> bool:
    asked = poll()
    asked.register(descriptor, POLLIN)
    return bool(asked.poll(0))


def main(connection: socket.socket, *, ahead: Sequence[str], orders: int) -> NoReturn:
    """Load modules, then fork what is ordered, until the other end of ``connection`` is gone."""
    with loading():
        for module in ahead:
            with suppress(Exception):  # a process that needs it says what is wrong with it
                import_module(module)
    _Server(connection, socket.socket(fileno=orders)).serve()


@dataclass(eq=False, slots=True)
class _Process:
    """A process as the server has it, which leaves it unburied for as long as somebody may kill it by its number."""

    pid: int
    tell: socket.socket
    """Its other end is closed once nobody wants the process."""
    alive: bool = True
    wanted: bool = True


class _Server:
    """Forks, tells how processes ended, and buries them."""

    def __init__(self, connection: socket.socket, orders: socket.socket) -> None:
        self._selector = selectors.PollSelector()
        self._orders = orders
        self._selector.register(connection, selectors.EVENT_READ, self._leave)
        self._selector.register(orders, selectors.EVENT_READ, self._fork)

    def serve(self) -> NoReturn:
        """Do what there is to do until the process that began this one is gone."""
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _leave(self) -> NoReturn:
        os._exit(0)

    def _fork(self) -> None:
        data, files, _, _ = socket.recv_fds(self._orders, _ORDER_BYTES, _FILES)
        if not data:
            self._leave()
        order = Order(**json.loads(data))
        tell, output, *descriptors = files
        order = replace(order, descriptors=dict(zip(order.descriptors, descriptors, strict=True)))
        process = _Process(0, socket.socket(fileno=tell))
        server = os.getpid()
        try:
            # It warns of threads: those of a linear algebra library know of forks.
            with warnings.catch_warnings(action="ignore"):
                process.pid = os.fork()
        except OSError as error:
            os.write(output, f"it cannot be forked ({error.strerror})\n".encode())
            self._say(process, 0, 1)
        else:
            if not process.pid:
                self._become(order, tell, output, server)
            self._watch(process)
        for descriptor in (output, *descriptors):
            os.close(descriptor)

    def _become(self, order: Order, tell: int, output: int, server: int) -> NoReturn:
        """Be a process that was forked: what is the server's own is closed, and what it prints goes its way."""
        for key in self._selector.get_map().values():
            os.close(key.fd)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.close(tell)
        begin(order, server)

    def _watch(self, process: _Process) -> None:
        """Tell the number of a process, and wait for its end, and for whoever wanted it."""
        self._say(process, process.pid)
        self._selector.register(process.tell, selectors.EVENT_READ, partial(self._unwanted, process))
        end = os.pidfd_open(process.pid)
        self._selector.register(end, selectors.EVENT_READ, partial(self._ended, process, end))

    def _ended(self, process: _Process, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        end = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert end is not None
        self._say(process, end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
        process.alive = False
        self._bury(process)

    def _unwanted(self, process: _Process) -> None:
        self._selector.unregister(process.tell)
        process.tell.close()
        process.wanted = False
        if process.alive:
            os.kill(process.pid, signal.SIGKILL)
        self._bury(process)

    def _bury(self, process: _Process) -> None:
        if not process.alive and not process.wanted:
            os.waitpid(process.pid, 0)

    def _say(self, process: _Process, *numbers: int) -> None:
        with suppress(OSError):  # nobody wants to know
            process.tell.sendall(b"".join(map(_NUMBER.pack, numbers)))
