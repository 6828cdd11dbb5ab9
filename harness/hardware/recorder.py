"""What runs in the process that samples: one row of meters every so often, and one at once when asked.

It loads no more than it takes to read meters, so that it is there in a tenth of a second. Started by
:mod:`harness.hardware.recorder_process`.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.hardware.channel import Channel
from harness.hardware.meters import Meter, Watched, open_meters, read_safely
from harness.hardware.ring import Ring
from harness.records import NAN, TELEMETRY, Figures

WIDTH = 1 + len(TELEMETRY)
"""Of a row: its Unix time in seconds, then TELEMETRY."""


def main(connection: socket.socket, *, watched: Mapping[str, Any], rows: int, capacity: int, interval_s: float) -> None:
    """Sample for the process that has started this one, until it ends or has had enough."""
    parent = os.getppid()
    meters = open_meters(Watched(**watched), parent)
    Recorder(meters, Ring(rows, width=WIDTH, capacity=capacity), Channel(connection)).serve(interval_s, parent)


class Recorder:
    """Reads ``meters`` into ``ring``, and says over ``channel`` why figures are missing."""

    def __init__(self, meters: Sequence[Meter], ring: Ring, channel: Channel) -> None:
        self._meters = meters
        self._ring = ring
        self._channel = channel
        self._reasons: dict[str, str] = {}

    def serve(self, interval_s: float, parent: int) -> None:
        """Sample until the other end of the channel is closed, or is no longer that of the process ``parent``."""
        due_s = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            while os.getppid() == parent and not self._channel.ended:
                if selector.select(max(0.0, due_s - time.monotonic())):
                    for _ in self._channel.receive():
                        self._channel.send({"time_unix_s": self.sample()})
                if time.monotonic() >= due_s:
                    self.sample()
                    due_s = max(due_s + interval_s, time.monotonic())  # a beat that was missed is not made up for
                self._channel.flush()

    def sample(self) -> float:
        """Write one row and return its Unix time; reasons that have changed are sent first."""
        figures = Figures()
        for meter in self._meters:
            figures |= read_safely(meter)
        time_unix_s = time.time()
        reasons = dict(figures.reasons)
        if reasons != self._reasons:
            self._reasons = reasons
            self._channel.send({"reasons": reasons})
        self._ring.append((time_unix_s, *(figures.values.get(name, NAN) for name in TELEMETRY)))
        return time_unix_s
