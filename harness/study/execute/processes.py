"""Worker processes on this machine: each trains one group of trials at a time, and none can take the search with it.

A worker starts when it is first needed and stays warm. One that dies, or has to be killed, costs the assignments that
it had, and is replaced when the next one comes. Nothing here waits for a worker longer than it is asked to.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import MutableMapping
from typing import Any

from harness.hardware.child import listen
from harness.hardware.fork_server import ForkServer
from harness.records import Outcome
from harness.study.contract import Capabilities, Evaluation, Group, Helpers, Lost, Watcher, Workshop
from harness.study.execute.early import source_of_workers
from harness.study.execute.messages import Checkpoint, Interrupt, Ready, Reports, Verdicts
from harness.study.execute.packing import Placement
from harness.study.execute.sharing import Shared
from harness.study.execute.task import Task
from harness.study.execute.worker_process import WorkerProcess, cause_of_death

START_S = 300.0
"""A worker that is not ready by then is given up: loading torch and the data may take long on a slow disk."""


class LocalProcesses:
    """Carries out groups in up to ``workers`` processes of this machine, each on ``threads`` CPU threads.

    They are dealt out to as many ``devices``, of which the one with the least to do is next. A worker that should have
    ended is killed ``grace_s`` seconds later. On Linux the kernel ends the workers with the thread that submits, so
    that must be one that lasts.
    """

    def __init__(
        self, workshop: Workshop, *, workers: int, threads: int, device: str, devices: int = 1, grace_s: float = 5.0
    ) -> None:
        where = "1 worker process" if workers == 1 else f"{workers} worker processes"
        self._capabilities = Capabilities(workers, threads, device, where)
        self._placement = Placement(workers, devices)
        self._grace_s = grace_s
        self._source = source_of_workers(type(workshop).__module__, threads)
        try:
            self._shared = Shared(workshop)
        except BaseException:
            self._source.close()
            raise
        self._workers: dict[int, WorkerProcess] = {}
        self._tasks: dict[int, Task] = {}
        """By the number of the worker, as its process is."""
        self._ended: list[Evaluation | Lost] = []
        self._finalizer = weakref.finalize(self, _close, self._workers, self._tasks, self._shared, self._source)

    def capabilities(self) -> Capabilities:
        """Return how many groups can be carried out at once."""
        return self._capabilities

    def submit(self, group: Group) -> int:
        """Begin a group on the device with the least to do, by a warm worker or a new one; return the device.

        There must be a free slot. Raises :class:`HardwareError` when a process cannot be started.
        """
        index = self._free_slot()
        device = self._placement.device_of(index)
        if index not in self._workers:
            threads, start = self._capabilities.threads, self._source.start
            self._workers[index] = WorkerProcess(self._shared.fileno(), threads=threads, device=device, start=start)
        task = self._tasks[index] = Task(group)
        task.end_within(START_S, Outcome.TIMEOUT, f"its worker was not ready after {START_S:g} s and was killed")
        if self._workers[index].ready:
            self._hand_over(index)
        return device

    def wait(self, watcher: Watcher, timeout_s: float) -> list[Evaluation | Lost]:
        """Serve the watcher until an assignment ends, or for ``timeout_s`` seconds; return those that ended.

        With nothing to carry out it returns at once. What the watcher raises leaves this function.
        """
        until_s = time.monotonic() + timeout_s
        while self._tasks and not self._ended:
            next_s = min(until_s, *(task.due_s for task in self._tasks.values()))
            listen(self._workers.values(), next_s - time.monotonic())
            for index in list(self._workers):
                self._attend(index, watcher)
            if time.monotonic() >= until_s:
                break
        ended, self._ended = self._ended, []
        return ended

    def cancel(self, trial: int, reason: str) -> None:
        """Ask the group of a trial to end soon; a worker that does not answer is killed."""
        for index, task in list(self._tasks.items()):
            if trial not in task.pending:
                continue
            if self._workers[index].ready:
                self._workers[index].channel.send(Interrupt(reason))
                late = f"{reason}; it did not answer for {self._grace_s:g} s and was killed"
                task.end_within(self._grace_s, Outcome.INTERRUPTED, late)
            else:
                self._ended += self._tasks.pop(index).lost(Outcome.INTERRUPTED, reason)

    def rest(self) -> Helpers:
        """Kill the workers, whatever they do; what they come from stays."""
        _end(self._workers, self._tasks)
        self._shared.close()
        return Helpers(self._source, self._capabilities.slots)

    def close(self) -> None:
        """Kill the workers, whatever they do, and leave nothing of them; without it, that happens at exit."""
        self._finalizer()

    def _free_slot(self) -> int:
        """Return the number of an idle worker, if possible a warm one, else of one to be started."""
        for index in [index for index in self._workers if index not in self._tasks]:
            if not self._workers[index].alive:
                self._workers.pop(index).bury()
        return self._placement.choose(self._tasks, self._warmth)

    def _warmth(self, index: int) -> int:
        """Return 0 for a worker that is ready, 1 for one that was started, 2 for one that is still to be."""
        worker = self._workers.get(index)
        return 2 if worker is None else int(not worker.ready)

    def _hand_over(self, index: int) -> None:
        """Send a worker that is ready its task; from here on its time counts."""
        worker, task = self._workers[index], self._tasks[index]
        worker.begin_task()
        task.hand_over(self._grace_s)
        worker.channel.send(task.group)

    def _attend(self, index: int, watcher: Watcher) -> None:
        """Do what a worker has asked for, and what it has come to."""
        worker = self._workers[index]
        for message in worker.receive():
            self._hear(index, message, watcher)
        task = self._tasks.get(index)
        if worker.silent:
            self._bury(index)
        elif task and task.due_s <= time.monotonic():
            task.due_s, task.killed = math.inf, True
            worker.kill()

    def _hear(self, index: int, message: Any, watcher: Watcher) -> None:
        worker = self._workers[index]
        match message:
            case Ready():
                worker.ready = True
                if index in self._tasks:
                    self._hand_over(index)
            case Reports(reports, judged):
                verdicts = watcher.judge_all(reports)
                if judged:
                    worker.channel.send(Verdicts(verdicts))
            case Checkpoint(trial, data):
                watcher.keep(trial, data)
            case Evaluation():
                if self._tasks[index].end(message):
                    del self._tasks[index]
                self._ended.append(message)

    def _bury(self, index: int) -> None:
        """Let go of a dead worker; the task that it had is lost."""
        worker, task = self._workers.pop(index), self._tasks.pop(index, None)
        end = worker.bury()
        if task is not None:
            self._ended += task.lost(*(task.if_killed if task.killed else cause_of_death(end)))


def _close(
    workers: MutableMapping[int, WorkerProcess], tasks: MutableMapping[int, Task], shared: Shared, source: ForkServer
) -> None:
    _end(workers, tasks)
    source.close()
    shared.close()


def _end(workers: MutableMapping[int, WorkerProcess], tasks: MutableMapping[int, Task]) -> None:
    """End everything at once: first all are killed, then all buried."""
    for worker in workers.values():
        worker.kill()
    for worker in workers.values():
        worker.bury()
    workers.clear()
    tasks.clear()
