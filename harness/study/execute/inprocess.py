"""Training in the process that coordinates it: nothing to start and nothing to send, and nothing to catch a crash."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from harness.study.contract import Assignment, Capabilities, Evaluation, Lost, Trainer, Watcher, Workshop
from harness.study.stop import Stop


class InProcess:
    """Carries out one assignment at a time, in the thread that waits for it.

    ``stop`` is the run's own: whatever asks the run to end is heard in the middle of the training.
    """

    def __init__(self, workshop: Workshop, stop: Stop, *, threads: int, device: str) -> None:
        self._capabilities = Capabilities(1, threads, device, "this process")
        self._workshop = workshop
        self._stop = stop
        self._given_back = ExitStack()
        self._trainer: Trainer | None = None
        self._assignment: Assignment | None = None
        self._cancelled = False

    def capabilities(self) -> Capabilities:
        """Return that there is one slot."""
        return self._capabilities

    def submit(self, assignment: Assignment) -> int:
        """Take an assignment, to be carried out by :meth:`wait` on the one device; there must be none yet."""
        assert self._assignment is None, "this process has an assignment"
        self._assignment = assignment
        return 0

    def wait(self, watcher: Watcher, timeout_s: float) -> list[Evaluation | Lost]:
        """Carry out the assignment to its end, however long that takes."""
        del timeout_s
        if self._assignment is None:
            return []
        try:
            return [self._open().evaluate(self._assignment, watcher)]
        finally:
            self._assignment = None
            if self._cancelled:
                self._cancelled = False
                self._stop.end("")

    def cancel(self, trial: int, reason: str) -> None:
        """Ask the assignment to end soon, if it is this trial's."""
        if self._assignment is not None and self._assignment.trial == trial:
            self._cancelled = True
            self._stop.end(reason)

    def close(self) -> None:
        """Close the trainer; torch has as many threads again as before."""
        self._trainer = None
        self._given_back.close()

    def _open(self) -> Trainer:
        """Return the trainer, opened when the first assignment needs it."""
        if self._trainer is None:
            self._given_back.callback(torch.set_num_threads, torch.get_num_threads())
            workshop = self._workshop.open(self._stop, threads=self._capabilities.threads)
            self._trainer = self._given_back.enter_context(workshop)
        return self._trainer
