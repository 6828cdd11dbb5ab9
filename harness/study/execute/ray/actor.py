"""What runs in an actor on a node of a Ray cluster: a trainer that stays warm and carries out one assignment at a time.

It does not import Ray, which calls each method in some thread of its own. The trainer has one thread for good, because
torch counts its computing threads by the thread that asked for them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from harness.errors import HarnessError
from harness.study.contract import Assignment, Evaluation, Report, Workshop
from harness.study.execute.messages import Checkpoint, Ready
from harness.study.stop import Stop


@dataclass(frozen=True, slots=True)
class Failed:
    """The trainer has raised what no trainer should, or could not be opened; the actor is of no more use."""

    reason: str
    error: HarnessError | None = None
    """What was raised, if it is meant for the user."""


Event = Ready | Report | Checkpoint | Evaluation | Failed


class TrainingActor:
    """Both ends of what the coordinator and a trainer have to say to each other; the trainer's :class:`Watcher`."""

    def __init__(self, workshop: Workshop, *, threads: int) -> None:
        self._stop = Stop()
        self._assignments: SimpleQueue[Assignment] = SimpleQueue()
        self._verdicts: SimpleQueue[str] = SimpleQueue()
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._judged = False
        Thread(target=self._serve, args=(workshop, threads), name="harness-trainer", daemon=True).start()

    def begin(self, assignment: Assignment) -> None:
        """Carry out an assignment; there must be none yet."""
        self._stop.end("")
        self._assignments.put(assignment)

    def next_event(self) -> Event:
        """Return what has happened since the last event, as soon as something has."""
        return self._events.get()

    def answer(self, verdict: str) -> None:
        """Say what became of the last report of a trial that is judged."""
        self._verdicts.put(verdict)

    def interrupt(self, reason: str) -> None:
        """Ask the assignment to end soon."""
        self._stop.end(reason)

    def judge(self, report: Report) -> str:
        """Have an epoch judged, if the assignment says so."""
        self._events.put(report)
        return self._verdicts.get() if self._judged else ""

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Have a checkpoint kept."""
        self._events.put(Checkpoint(trial, checkpoint))

    def _serve(self, workshop: Workshop, threads: int) -> None:
        # Arrays of the object store are shared by all actors of a node, so they cannot be written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        try:
            # Each actor sees only the devices that are its own, so it is always the first of one.
            with workshop.open(self._stop, threads=threads) as trainer:
                self._events.put(Ready())
                while True:
                    assignment = self._assignments.get()
                    self._judged = assignment.judged
                    self._events.put(trainer.evaluate(assignment, self))
        except BaseException as error:
            said = (str(error).strip() or "no message").splitlines()[0]
            known = error if isinstance(error, HarnessError) else None
            self._events.put(Failed(f"{type(error).__name__}: {said}", known))
            raise
