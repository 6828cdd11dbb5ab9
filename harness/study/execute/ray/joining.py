"""Joining a Ray cluster, or starting one on this machine, without a word on the terminal and within bounded time.

Ray itself tries for minutes to reach an address where no cluster is, and talks about it from C++. So a child process
tries first, and is given up after a while.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import HardwareError, first_line
from harness.extras import load_extra

LOCAL = "local"
"""The address that stands for a cluster of this machine alone, started for the occasion."""

REACH_S = 5.0
"""For the head node to take a connection."""

JOIN_S = 40.0
"""For a trial to join; on a busy machine Ray needs up to ten seconds."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of calls whose result nobody asks for; the next event tells of the same
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else it prints on stdout that a node is lost; the trial's reason says that
}
"""Read by Ray when it is imported, or later."""

_TRY = "import logging, sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)"
_START_ONE = "start one with `ray start --head`, or leave the address out to use this machine alone"


def load_ray() -> Any:
    """Import Ray. Raises :class:`HardwareError` where it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    load_extra("ray.util.scheduling_strategies", extra="ray", use="training on a cluster")
    return load_extra("ray", extra="ray", use="training on a cluster")


def join(ray: Any, address: str | None) -> bool:
    """Connect this process to the cluster at ``address``: ``auto``, ``host:port`` or ``local`` for one of its own.

    Returns False where it already was connected. The signal handlers stay those of the caller. Raises
    :class:`HardwareError` when there is no such cluster, or none that this process can join.
    """
    if ray.is_initialized():
        return False
    address = address or LOCAL
    if address != LOCAL:
        check_joinable(address)
    # Ray writes what it is about to do, and what it will do in future versions, as warnings.
    with _signal_handlers_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            raise HardwareError(
                f"no Ray cluster at {address!r}: {first_line(error).rstrip('.')}; {_START_ONE}"
            ) from error
    return True


def check_joinable(address: str) -> None:
    """Raise :class:`HardwareError` unless a process can join the cluster."""
    if address != "auto":
        _reach(address)
    try:
        tried = subprocess.run([sys.executable, "-c", _TRY, address], capture_output=True, text=True, timeout=JOIN_S)
        said, joined = tried.stderr, tried.returncode == 0
    except subprocess.TimeoutExpired as late:
        said, joined = (late.stderr or b"").decode(errors="replace"), False
    if joined:
        return
    if "AuthToken" in said:
        raise HardwareError(
            f"the Ray cluster at {address!r} wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what "
            "`ray get-auth-token` prints on its head node"
        )
    errors = re.findall(r"^[\w.]*(?:Error|Exception): (.+)$", said, flags=re.MULTILINE)
    reason = errors[-1].rstrip(".") if errors else f"it did not answer for {JOIN_S:g} s"
    raise HardwareError(f"no Ray cluster at {address!r} that could be joined: {reason}; {_START_ONE}")


def _reach(address: str) -> None:
    """Raise :class:`HardwareError` unless something listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise HardwareError(f"{address!r} is no address of a Ray cluster: use auto, or host:port of its head node")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HardwareError(f"no Ray cluster at {address!r}: {reason}; {_START_ONE}") from error


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Put back the handlers of the signals that end a program; Ray sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
