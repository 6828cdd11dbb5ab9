"""A trainer at the far end of a connection, whatever that is: it does what is assigned, and asks while it does.

It loads little itself, to be under the coordinator's control early; the workshop brings what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from harness.study.execute.messages import Checkpoint, Interrupt, Ready, Reports, Verdicts
from harness.study.stop import Stop

if TYPE_CHECKING:
    from harness.study.contract import Group, Report, Workshop


class Serving:
    """Both ends of what the coordinator and a trainer have to say to each other; the trainer's :class:`Watcher`.

    ``say`` takes what is for the coordinator; what comes from there is given to :meth:`hear`, in another thread, as a
    request to end comes in the middle of the training. A request belongs to the last group before it, and the next
    group takes it back.
    """

    def __init__(self, say: Callable[[object], None]) -> None:
        self._say = say
        self._stop = Stop()
        self._groups: SimpleQueue[Group] = SimpleQueue()
        self._verdicts: SimpleQueue[list[str]] = SimpleQueue()
        self._judged: set[int] = set()
        """Trials whose every epoch waits for an answer."""

    def serve(self, workshop: Workshop, *, threads: int, device: int = 0) -> NoReturn:
        """Open the workshop and carry out whatever is assigned."""
        with workshop.open(self._stop, threads=threads, device=device) as trainer:
            self._say(Ready())
            while True:
                group = self._groups.get()
                self._judged = {assignment.trial for assignment in group if assignment.judged}
                for evaluation in trainer.evaluate(group, self):
                    self._say(evaluation)

    def hear(self, message: Any) -> None:
        """Take what the coordinator says: a group of assignments, an answer, or a request to end."""
        match message:
            case Verdicts(reasons):
                self._verdicts.put(reasons)
            case Interrupt(reason):
                self._stop.end(reason)
            case group:
                self._stop.end("")
                self._groups.put(group)

    def judge(self, report: Report) -> str:
        """Have an epoch judged, if the assignment says so."""
        return self.judge_all([report])[0]

    def judge_all(self, reports: Sequence[Report]) -> list[str]:
        """Have an epoch of each of several trials judged, if any of their assignments says so."""
        judged = any(report.epoch.trial in self._judged for report in reports)
        self._say(Reports(tuple(reports), judged))
        return self._verdicts.get() if judged else [""] * len(reports)

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Have a checkpoint kept."""
        self._say(Checkpoint(trial, checkpoint))
