"""Trainings of the final model beside each other, each in a process of its own.

One after the other they would leave all cores but one idle, since a small model is trained on one thread. What comes of
them is the same to the bit.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch

from harness.data import Dataset, TrainingData
from harness.errors import first_line
from harness.hardware.channel import frame
from harness.hardware.child import TURN_S, Child, listen, volunteer_for_the_oom_killer
from harness.lazy import loading
from harness.problems.scoring import Scorer
from harness.records import EpochRecord, Plan, TrialRecord
from harness.spec import TaskSpec
from harness.study.contract import Helpers
from harness.study.execute.sharing import Shared, load_shared
from harness.study.final.cost import beside_each_other
from harness.study.final.retraining import Course, Retraining, T, Taken, Trained
from harness.study.job import Job
from harness.study.trial.building import place_training


@dataclass(frozen=True)
class _Sent:
    """What a process needs for its training."""

    job: Job
    dataset: TrainingData
    winner: TrialRecord
    plan: Plan
    courses: Sequence[Course]
    taken: Taken[Any]


class Beside(Retraining):
    """Trains as many at once as there are helpers, where one thread is what pays for each."""

    def __init__(
        self,
        job: Job,
        dataset: TrainingData,
        winner: TrialRecord,
        stop: Callable[[], None],
        watch: Callable[[EpochRecord], None],
        plan: Plan | None,
        helpers: Helpers,
    ) -> None:
        super().__init__(job, dataset, winner, stop, watch, plan)
        self._helpers = helpers

    def each(self, courses: Sequence[Course], taken: Taken[T]) -> Sequence[Trained[T]]:
        """Train each course, whatever others come to. Raises :class:`Interrupted` when asked to stop."""
        several = len(courses) > 1 and self._helpers.ready
        if not several or not beside_each_other(self._job, self._settled_for(courses[0])):
            return super().each(courses, taken)
        with closing(Shared(self._sent(courses, taken))) as shared:
            return self._carried_out(len(courses), shared)

    def _settled_for(self, course: Course) -> Plan:
        return self._settled(place_training(self._job, self._candidate, self._dataset, course.seed))

    def _sent(self, courses: Sequence[Course], taken: Taken[Any]) -> _Sent:
        """Return what is needed, and no more: not the source of the data, nor test samples, nor metrics."""
        dataset = self._dataset.training_data() if isinstance(self._dataset, Dataset) else self._dataset
        spec = self._job.spec.model_copy(update={"task": TaskSpec()})
        job = replace(self._job, spec=spec, dataset=dataset, scorer=Scorer(), folds=(), learning=None)
        return _Sent(job, dataset, self._winner, self.plan, courses, taken)

    def _carried_out(self, count: int, shared: Shared) -> list[Trained[Any]]:
        running: dict[int, Child] = {}
        done: dict[int, Trained[Any]] = {}
        waiting = list(range(count))
        try:
            while waiting or running:
                self._stop()
                while waiting and len(running) < self._helpers.count:
                    running[waiting[0]] = self._begun(waiting[0], shared)
                    del waiting[0]
                listen(running.values(), TURN_S)
                for number, child in list(running.items()):
                    for said in child.receive():
                        if isinstance(said, EpochRecord):
                            self._watch(said)
                        else:
                            done[number] = said
                    if child.silent:
                        end = running.pop(number).bury()
                        done.setdefault(number, Trained((), RuntimeError(f"its process ended: {end}")))
        finally:
            for child in running.values():
                child.bury(exit_s=0.0)
        return [done[number] for number in range(count)]

    def _begun(self, number: int, shared: Shared) -> Child:
        inherited = {"shared": shared.fileno()}
        return Child(__name__, {"number": number}, inherited=inherited, start=self._helpers.source.start)


def main(connection: socket.socket, *, number: int, shared: int) -> None:
    """Train one of the courses, and say what came of each epoch, and of all."""
    volunteer_for_the_oom_killer()
    torch.set_num_threads(1)
    with loading():
        sent: _Sent = load_shared(shared)

    def say(thing: object) -> None:
        connection.sendall(frame(thing))

    retraining = Retraining(sent.job, sent.dataset, sent.winner, lambda: None, say, sent.plan)
    trained = retraining.one(sent.courses[number], sent.taken)
    failure = trained.failure and RuntimeError(first_line(trained.failure))  # any exception may hold what is not sent
    say(replace(trained, failure=failure))
