"""Fits of baselines in a process of their own, beside those of this one.

Each runs on one thread, so that where there are two cores they take half as long. What comes of them is the same.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Generic, Protocol, TypeVar

from harness.errors import HardwareError
from harness.hardware.channel import frame
from harness.hardware.child import TURN_S, Child, listen, volunteer_for_the_oom_killer
from harness.lazy import loading
from harness.study.contract import Helpers
from harness.study.execute.sharing import Shared, load_shared
from harness.study.stop import Stop

T = TypeVar("T", covariant=True)


class Fits(Protocol[T]):
    """What fits, here or, sent there, in another process."""

    def fit(self, number: int) -> T:
        """Fit a model by its number and return what came of it."""


class Ahead(Generic[T]):
    """Has a helper make the ``wanted`` fits in their order; what it does not come to is made when it is asked for."""

    def __init__(self, fitting: Fits[T], wanted: Sequence[int], helpers: Helpers | None) -> None:
        self._fitting = fitting
        self._made: dict[int, T] = {}
        self._helper: Child | None = None
        if wanted and helpers is not None and helpers.ready:
            with suppress(HardwareError, OSError), closing(Shared(fitting)) as shared:
                arguments, inherited = {"wanted": list(wanted)}, {"shared": shared.fileno()}
                self._helper = Child(__name__, arguments, inherited=inherited, start=helpers.source.start)

    def fit(self, number: int, stop: Stop, *, within_s: float) -> T | None:
        """Return what came of a fit; None where the run was asked to stop before it was made.

        A helper that does not come to it ``within_s`` seconds is ended.
        """
        until_s = time.monotonic() + within_s
        while self._helper is not None and number not in self._made and not stop.signal:
            listen([self._helper], TURN_S)
            self._made |= self._helper.receive()
            if self._helper.silent or time.monotonic() > until_s:
                self.close()
        if number in self._made:
            return self._made[number]
        return None if stop.signal else self._fitting.fit(number)

    def close(self) -> None:
        """End the helper."""
        if self._helper is not None:
            self._helper.bury(exit_s=0.0)
            self._helper = None


def main(connection: socket.socket, *, wanted: Sequence[int], shared: int) -> None:
    """Make fits and send each with its number."""
    volunteer_for_the_oom_killer()
    with loading():
        fitting: Fits[object] = load_shared(shared)
    for number in wanted:
        connection.sendall(frame((number, fitting.fit(number))))
