"""The process that samples, as the one that is sampled sees it: started, asked, read, and done without.

Whatever becomes of it, its parent only knows less: nothing here raises for a process that cannot be started, dies or
hangs, and none of its answers is waited for longer than ANSWER_S seconds.
"""

from __future__ import annotations

import os
import signal
import time
import weakref
from dataclasses import asdict

from harness.hardware.child import EXIT_S, Child, listen
from harness.hardware.meters import Watched
from harness.hardware.recorder import WIDTH
from harness.hardware.ring import Ring, nameless_file
from harness.records import TELEMETRY

START_S = 10.0
"""How long its first answer may take: as long as a driver that was asleep takes to start."""
ANSWER_S = 1.0


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
        self._arguments = {"watched": asdict(watched), "interval_s": interval_s, "capacity": keep}
        self._keep = keep
        self._rows: int | None = None
        """Descriptor of the file of what was sampled."""
        self._child: Child | None = None
        self._asked = False
        self._answered_unix_s: float | None = None

    @property
    def ring(self) -> Ring | None:
        """What was sampled; None before there was a start."""
        return None if self._rows is None else Ring(self._rows, width=WIDTH, capacity=self._keep)

    def start(self) -> None:
        """Start the process, unless it runs; the reasons say why it could not be."""
        if self._child is not None:
            return
        try:
            if self._rows is None:
                self._rows = nameless_file()
                weakref.finalize(self, os.close, self._rows)
            self._child = Child(
                "harness.hardware.recorder",
                self._arguments,
                inherited={"rows": self._rows},
                # Meant for the search, which says itself when it is enough.
                ignored=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
            )
        except (AttributeError, OSError, ValueError) as error:  # no POSIX system, or no room for one more
            self._trouble = f"the telemetry process cannot be started ({error})"
        else:
            self._trouble, self._asked, self._answered_unix_s = "", False, None

    def stop(self) -> None:
        """End the process, unless it has ended; what was sampled stays."""
        self._hear()
        if self._child is not None:
            self._bury(self._child)
            self._trouble = "the sampler has been stopped"

    def ask(self) -> float | None:
        """Have a sample taken now and return its Unix time; None when nobody answers.

        A process that did not answer is not waited for again until it has.
        """
        self._hear()
        if self._child is None or self._asked:
            return None
        limit_s = START_S if self._answered_unix_s is None else ANSWER_S
        deadline_s = time.monotonic() + limit_s
        self._child.channel.send("sample")
        self._asked = True
        while self._asked and self._child is not None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                self._trouble = f"the telemetry process has not answered for {limit_s:g} s"
                return None
            listen([self._child], left_s)
            self._hear()
        return None if self._asked else self._answered_unix_s

    def reasons(self) -> dict[str, str]:
        """Return the last reason known for each figure in TELEMETRY that was missing."""
        self._hear()
        if not self._trouble:
            return self._ever
        # What could not be measured before the trouble keeps its own reason.
        return {**dict.fromkeys(TELEMETRY, self._trouble), **self._missing}

    def _hear(self) -> None:
        """Take in what it has said, without waiting."""
        if (child := self._child) is None:
            return
        for message in child.receive():
            self._missing = message.get("reasons", self._missing)
            self._ever |= self._missing
            if "time_unix_s" in message:
                self._answered_unix_s, self._asked, self._trouble = message["time_unix_s"], False, ""
        if child.silent:
            self._bury(child)

    def _bury(self, child: Child) -> None:
        """Give everything back but what was sampled."""
        self._child = None
        self._trouble = f"the telemetry process ended ({child.bury(kill_s=EXIT_S)})"
