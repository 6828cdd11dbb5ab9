"""A trainer that trains a toy family of candidates as one program: each epoch takes a second, however many are in it.

Worker processes import this module by its name, so the tests put its folder on ``sys.path``.
"""

import dataclasses
import json
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.problems import problems
from harness.records import EpochRecord, Figures, Outcome, TrialRecord
from harness.study.contract import Evaluation, Report
from harness.study.trial.share import Share

NUMBERS = ("learning_rate", "gradient_norm", "train_s", "validation_s", "train_samples_s")
JOULES, MIB = 10.0, 100.0
"""Of a program: in each second, and for each candidate that it begins with."""


@dataclass
class ToyWorkshop:
    """``fits``: candidates that there is memory for; ``deadly``: the trial that kills whatever process trains it."""

    fits: int = 1000
    deadly: int = -1
    programs: list = field(default_factory=list)
    """Of each program that ended in this process: the trials, and its seconds."""
    trained: list = field(default_factory=list)
    """Trial and epoch of whatever was trained in this process."""

    @contextmanager
    def open(self, stop, *, threads, device=0):
        del threads, device
        self.stop = stop
        yield self

    def evaluate(self, group, watcher):
        share, seconds = Share(len(group)), 0.0
        members = [Member(assignment, share, len(group)) for assignment in group]
        for member in members:
            for epoch in member.epochs:
                watcher.judge(Report(epoch, {}))
        ended = Outcome.OOM if len(group) > self.fits else None
        while members:
            seconds += 1.0
            for member in list(members):
                outcome = ended or (Outcome.INTERRUPTED if self.stop.reason else None)
                outcome = outcome or self._train(member, watcher, seconds)
                if outcome is not None:
                    members.remove(member)
                    yield member.end(outcome, seconds)
        self.programs.append(([assignment.trial for assignment in group], seconds))

    def _train(self, member, watcher, seconds):
        """Train for an epoch; return how the member ends by it, if it does."""
        trial = member.assignment.trial
        if trial == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        verdict = watcher.judge(Report(member.another_epoch(), {"parameters": 5.0}))
        self.trained.append((trial, len(member.epochs)))
        watcher.keep(trial, member.checkpoint(seconds))
        if verdict:
            return Outcome.PRUNED
        return Outcome.COMPLETE if len(member.epochs) == member.assignment.until else None


class Member:
    """One candidate of a program."""

    def __init__(self, assignment, share, begun_with):
        carried = json.loads(assignment.checkpoint or '{"epochs": [], "seconds": 0.0}')
        self.assignment, self.share, self.memory_mib = assignment, share, MIB * begun_with
        self.epochs = [EpochRecord(**epoch) for epoch in carried["epochs"]]
        self.carried_s = carried["seconds"]

    def another_epoch(self):
        number = len(self.epochs) + 1
        summed = dict.fromkeys(problems["classification"].summed, 0.5)
        metrics = summed | {"accuracy": (1 - 0.5**number) * self.assignment.params["optimizer.sgd.lr"]}
        numbers = dict.fromkeys(NUMBERS, 1.0)
        record = EpochRecord(trial=self.assignment.trial, epoch=number, train=metrics, validation=metrics, **numbers)
        self.epochs.append(record)
        return record

    def checkpoint(self, seconds):
        spent_s = self.carried_s + self.share.of("seconds", seconds)
        return json.dumps({"epochs": list(map(dataclasses.asdict, self.epochs)), "seconds": spent_s}).encode()

    def end(self, outcome, seconds):
        totals = Figures({"energy_j": JOULES * seconds, "memory_rss_peak_mib": self.memory_mib})
        own = {"seconds": self.share.of("seconds", seconds), **self.share.divided(totals).values}
        self.share.end(own)
        assignment = self.assignment
        record = TrialRecord(
            trial=assignment.trial,
            outcome=outcome,
            reason=f"the program said {outcome}",
            candidate=assignment.candidate.as_dict(),
            params=assignment.params,
            values=(self.epochs[-1].validation["accuracy"],) if outcome is Outcome.COMPLETE else (),
            seed=assignment.seed,
            epochs=len(self.epochs),
            best_epoch=len(self.epochs),
            validation=self.epochs[-1].validation if self.epochs else {},
            figures={"parameters": 5.0, "value_se": 0.2} | {n: v for n, v in own.items() if n != "seconds"},
            seconds=self.carried_s + own["seconds"],
            shared_with=self.share.members - 1,
            lost_s=max(0.0, assignment.spent_s - self.carried_s),
            attempts=assignment.attempt,
        )
        return Evaluation(record, self.epochs, b"weights")
