"""What runs in the process that samples: one row of meters every so often, and one at once when asked.

It loads no more than it takes to read meters, so that it is there in a tenth of a second. Started by
:mod:`harness.hardware.recorder_process`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.hardware.meters import AbsentMeter, GpuMeter, HostMeter, Meter, read_safely
from harness.hardware.nvml import GPU_TELEMETRY, open_nvml
from harness.hardware.parent import die_with
from harness.hardware.pressure import PressureMeter
from harness.hardware.rapl import RaplMeter
from harness.hardware.ring import Ring
from harness.hardware.watched import Watched
from harness.records import NAN, TELEMETRY, Figures

WIDTH = 1 + len(TELEMETRY)
"""Of a row: its Unix time in seconds, then TELEMETRY."""


def main() -> None:
    """Sample for the process that has started this one, until it ends or has had enough."""
    order = json.loads(sys.argv[1])
    _end_with(order["parent"])
    ring = Ring(order["rows"], width=WIDTH, capacity=order["capacity"])
    with socket.socket(fileno=order["connection"]) as connection:
        recorder = Recorder(open_meters(Watched(**order["watched"]), order["parent"]), ring, connection)
        with suppress(ConnectionError):  # nobody is there any more
            recorder.serve(order["interval_s"], order["parent"])


def open_meters(watched: Watched, pid: int) -> tuple[Meter, ...]:
    """Return the meters of the process ``pid``, its GPU and its machine, with stand-ins that say what is not there."""
    root = Path(watched.root)
    gpu: Meter = AbsentMeter(watched.no_gpu, GPU_TELEMETRY)
    if watched.gpu_uuid:
        nvml = open_nvml()
        found = nvml.gpu_for(watched.gpu_uuid)
        lacking = nvml.reason or "NVML shows no GPU with the UUID of the device"
        gpu = GpuMeter(found, pid) if found else AbsentMeter(lacking, GPU_TELEMETRY)
    meters = (HostMeter(pid), PressureMeter(root), RaplMeter(root), gpu)
    metered = {name for meter in meters for name in meter.names}
    rest = tuple(name for name in TELEMETRY if name not in metered)
    return (*meters, AbsentMeter("no meter measures it", rest))


class Recorder:
    """Reads ``meters`` into ``ring``, and tells over ``connection`` why figures are missing."""

    def __init__(self, meters: Sequence[Meter], ring: Ring, connection: socket.socket) -> None:
        self._meters = meters
        self._ring = ring
        self._connection = connection
        self._connection.setblocking(False)
        self._told: dict[str, str] = {}
        self._unsent = b""

    def serve(self, interval_s: float, parent: int) -> None:
        """Sample until the other end of the connection is closed, or is no longer that of the process ``parent``."""
        due_s = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            while os.getppid() == parent:
                if selector.select(max(0.0, due_s - time.monotonic())):
                    asked = self._connection.recv(2**12)
                    if not asked:
                        return
                    for _ in asked:
                        self._tell({"time_unix_s": self.sample()})
                if time.monotonic() >= due_s:
                    self.sample()
                    due_s = max(due_s + interval_s, time.monotonic())  # a beat that was missed is not made up for
                self._send()

    def sample(self) -> float:
        """Write one row and return its Unix time; reasons that have changed are told first."""
        figures = Figures()
        for meter in self._meters:
            figures |= read_safely(meter)
        time_unix_s = time.time()
        reasons = dict(figures.reasons)
        if reasons != self._told:
            self._told = reasons
            self._tell({"reasons": reasons})
        self._ring.append((time_unix_s, *(figures.values.get(name, NAN) for name in TELEMETRY)))
        return time_unix_s

    def _tell(self, message: dict[str, Any]) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"
        self._send()

    def _send(self) -> None:
        """Send what goes through without waiting, as nobody may listen for long; the rest goes later."""
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self._connection.send(self._unsent) :]


def _end_with(parent: int) -> None:
    """End with the process that started this one, even while a driver hangs, and not at what the user presses."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # meant for the search, which says itself when it is enough
    die_with(parent)
