"""What runs in a worker process: a trainer that carries out assignments for as long as the coordinator lives.

It loads little itself, to be under the coordinator's control early; the workshop brings what it needs. Started by
:mod:`harness.study.execute.worker_process`.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

from harness.hardware.channel import frame, messages
from harness.study.execute.messages import Checkpoint, Interrupt, Ready, Verdict
from harness.study.execute.sharing import load_shared
from harness.study.stop import Stop

if TYPE_CHECKING:
    from harness.study.contract import Assignment, Report


class _Worker:
    """Both ends of what the coordinator and a trainer have to say to each other; the trainer's :class:`Watcher`.

    A thread listens, because a request to end comes in the middle of the training. As the coordinator speaks in one
    stream, a request belongs to the last assignment before it, and the next assignment takes it back.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.stop = Stop()
        self._connection = connection
        self._assignments: SimpleQueue[Assignment] = SimpleQueue()
        self._verdicts: SimpleQueue[str] = SimpleQueue()
        self._judged = False

    def serve(self, shared: int, *, threads: int, device: int) -> None:
        """Open the workshop behind the descriptor ``shared`` and carry out whatever is assigned."""
        threading.Thread(target=self._listen, name="harness-coordinator", daemon=True).start()
        workshop = load_shared(shared)
        os.close(shared)
        with workshop.open(self.stop, threads=threads, device=device) as trainer:
            self._send(Ready())
            while True:
                assignment = self._assignments.get()
                self._judged = assignment.judged
                self._send(trainer.evaluate(assignment, self))

    def judge(self, report: Report) -> str:
        """Have an epoch judged, if the assignment says so."""
        self._send(report)
        return self._verdicts.get() if self._judged else ""

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Have a checkpoint kept."""
        self._send(Checkpoint(trial, checkpoint))

    def _send(self, message: object) -> None:
        self._connection.sendall(frame(message))

    def _listen(self) -> None:
        for message in messages(self._connection):
            match message:
                case Verdict(reason):
                    self._verdicts.put(reason)
                case Interrupt(reason):
                    self.stop.end(reason)
                case assignment:
                    self.stop.end("")
                    self._assignments.put(assignment)
        os._exit(0)  # the coordinator is gone, and the trainer may be anywhere


def main(connection: socket.socket, *, shared: int, threads: int, device: int) -> NoReturn:
    """Serve the coordinator with the workshop behind a descriptor, on some threads and one of its devices."""
    code = 1
    try:
        _volunteer_for_the_oom_killer()
        os.set_inheritable(shared, False)
        _Worker(connection).serve(shared, threads=threads, device=device)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)  # without waiting for threads that a candidate left


def _volunteer_for_the_oom_killer() -> None:
    """When the machine runs out of memory, a worker goes and the coordinator stays."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
