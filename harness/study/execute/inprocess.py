"""Training in the process that coordinates it: nothing to start and nothing to send, and nothing to catch a crash."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from harness.study.contract import Capabilities, Evaluation, Group, Lost, Trainer, Watcher, Workshop
from harness.study.stop import Stop


class InProcess:
    """Carries out one group at a time, in the thread that waits for it.

    ``stop`` is the run's own: whatever asks the run to end is heard in the middle of the training.
    """

    def __init__(self, workshop: Workshop, stop: Stop, *, threads: int, device: str) -> None:
        self._capabilities = Capabilities(1, threads, device, "this process")
        self._workshop = workshop
        self._stop = stop
        self._given_back = ExitStack()
        self._trainer: Trainer | None = None
        self._group: Group = ()
        self._cancelled = False

    def capabilities(self) -> Capabilities:
        """Return that there is one slot."""
        return self._capabilities

    def submit(self, group: Group) -> int:
        """Take a group, to be carried out by :meth:`wait` on the one device; there must be none yet."""
        assert not self._group, "this process has an assignment"
        self._group = group
        return 0

    def wait(self, watcher: Watcher, timeout_s: float) -> list[Evaluation | Lost]:
        """Carry out the group to its end, however long that takes."""
        del timeout_s
        if not self._group:
            return []
        try:
            return list(self._open().evaluate(self._group, watcher))
        finally:
            self._group = ()
            if self._cancelled:
                self._cancelled = False
                self._stop.end("")

    def cancel(self, trial: int, reason: str) -> None:
        """Ask the group to end soon, if the trial is in it."""
        if any(assignment.trial == trial for assignment in self._group):
            self._cancelled = True
            self._stop.end(reason)

    def rest(self) -> None:
        """Close the trainer."""
        self.close()

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
