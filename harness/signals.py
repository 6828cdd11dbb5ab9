"""The signals that ask a command to end: Ctrl-C, ``kill``, and a terminal that is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def asked_to_end(
    first: Callable[[int], None], *, again: Callable[[int, FrameType | None], None] | signal.Handlers = signal.SIG_DFL
) -> Iterator[None]:
    """Call ``first`` with the first SIGINT, SIGTERM or SIGHUP; ``again`` handles later ones, which end the program.

    A shell starts its background jobs with SIGINT ignored, and nohup with SIGHUP ignored. The former is handled all the
    same, since ``kill -INT`` means it; the latter stays ignored, since that is what nohup is for. Threads other
    than the main one get no signals: nothing is done in them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, again)
        first(number)

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
