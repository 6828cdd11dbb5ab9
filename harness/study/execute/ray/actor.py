"""What runs in an actor on a node of a Ray cluster: a trainer that stays warm and carries out one group at a time.

It does not import Ray, which calls each method in some thread of its own. The trainer has one thread for good, because
torch counts its computing threads by the thread that asked for them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any

from harness.errors import HarnessError, described
from harness.study.contract import Workshop
from harness.study.execute.serving import Serving


@dataclass(frozen=True, slots=True)
class Failed:
    """The trainer has raised what no trainer should, or could not be opened; the actor is of no more use."""

    reason: str
    error: HarnessError | None = None
    """What was raised, if it is meant for the user."""


class TrainingActor:
    """A trainer, asked for its next event again and again."""

    def __init__(self, workshop: Workshop, *, threads: int) -> None:
        self._events: SimpleQueue[object] = SimpleQueue()
        self._serving = Serving(self._events.put)
        Thread(target=self._serve, args=(workshop, threads), name="harness-trainer", daemon=True).start()

    def hear(self, message: Any) -> None:
        """Take what the coordinator says."""
        self._serving.hear(message)

    def next_event(self) -> object:
        """Return what has happened since the last event, as soon as something has."""
        return self._events.get()

    def _serve(self, workshop: Workshop, threads: int) -> None:
        # Arrays of the object store are shared by all actors of a node, so they cannot be written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        try:
            # Each actor sees only the devices that are its own, so it is always the first of one.
            self._serving.serve(workshop, threads=threads)
        except BaseException as error:
            known = error if isinstance(error, HarnessError) else None
            self._events.put(Failed(described(error), known))
            raise
