"""Claim: giving a trial to a worker process costs below a millisecond, and to an actor of a Ray cluster about two.

The trial does nothing, so what is timed is the way there and back: pickling, two processes, and what Ray does between
them. A judged epoch is one report whose verdict the trial waits for, as with a pruner. Every executor has one worker,
already warm; the cluster is this machine.

Run: ``python benchmarks/executor_overhead.py``. It prints medians, with the 5th and 95th percentile of the assignments.
Measured with ``--assignments 1000``, twice, on two cores of an AMD EPYC that other work shared (load about 2):

    in process         0.003 to 0.005 ms    0.003 ms a judged epoch
    worker process     0.25 to 0.29 ms      0.06 to 0.10 ms
    Ray actor          1.7 ms               1.5 ms
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np

from harness.records import EpochRecord, Named, Outcome, TrialRecord
from harness.spec import Candidate, Training
from harness.study.contract import Assignment, Evaluation, Executor, Group, Report, Watcher
from harness.study.execute.inprocess import InProcess
from harness.study.execute.processes import LocalProcesses
from harness.study.execute.ray.cluster import RayActors
from harness.study.stop import Stop

EPOCHS = 20


@dataclass(frozen=True)
class IdleWorkshop:
    """Opens trainers that train nothing."""

    @contextmanager
    def open(self, stop: Stop, *, threads: int, device: int = 0) -> Iterator[IdleTrainer]:
        """Return a trainer."""
        del stop, threads, device
        yield IdleTrainer()


class IdleTrainer:
    """Reports as many epochs as it is asked for, and is done."""

    def evaluate(self, group: Group, watcher: Watcher) -> Iterator[Evaluation]:
        """Report and end."""
        for assignment in group:
            yield self._evaluation(assignment, watcher)

    def _evaluation(self, assignment: Assignment, watcher: Watcher) -> Evaluation:
        for number in range(1, assignment.until + 1):
            epoch = EpochRecord(
                trial=assignment.trial,
                epoch=number,
                train={},
                validation={},
                learning_rate=1.0,
                gradient_norm=1.0,
                train_s=1.0,
                validation_s=1.0,
                train_samples_s=1.0,
            )
            watcher.judge(Report(epoch, {}))
        record = TrialRecord(
            trial=assignment.trial, outcome=Outcome.COMPLETE, reason="nothing to do", candidate={}, params={}
        )
        return Evaluation(record, ())


class Lenient:
    """A watcher that lets every trial go on."""

    def judge(self, report: Report) -> str:
        """Return that there is no reason to give it up."""
        del report
        return ""

    def judge_all(self, reports: Sequence[Report]) -> list[str]:
        """Return the same of each."""
        return [""] * len(reports)

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Keep nothing."""


def main() -> None:
    """Time all three and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assignments", type=int, default=500)
    assignments = parser.parse_args().assignments
    workshop = IdleWorkshop()
    executors: dict[str, Callable[[], Executor]] = {
        "in process": lambda: InProcess(workshop, Stop(), threads=1, device="cpu"),
        "worker process": lambda: LocalProcesses(workshop, workers=1, threads=1, device="cpu"),
        "Ray actor": lambda: RayActors(workshop, address="local", workers=1, threads=1, device="cpu"),
    }
    print(f"{'':16} {'assignment':>22} {'judged epoch':>14}")
    for name, start in executors.items():
        with closing(start()) as executor:
            time_ms(executor, 20, epochs=1)
            idle_ms = time_ms(executor, assignments, epochs=0)
            judged_ms = time_ms(executor, assignments // 10, epochs=EPOCHS)
        low, median, high = np.percentile(idle_ms, [5, 50, 95])
        epoch_ms = (np.median(judged_ms) - median) / EPOCHS
        print(f"{name:16} {median:6.3f} ({low:5.3f} to {high:5.3f}) ms {epoch_ms:8.3f} ms")


def time_ms(executor: Executor, count: int, *, epochs: int) -> list[float]:
    """Return the milliseconds from giving out each assignment to its result."""
    candidate = Candidate(Named("mlp"), Named("adamw"), Named("constant"), Training())
    watcher, times = Lenient(), []
    for trial in range(count):
        order = Assignment(trial=trial, seed=trial, candidate=candidate, params={}, until=epochs, judged=True)
        start = time.perf_counter()
        executor.submit((order,))
        while not executor.wait(watcher, 10.0):
            pass
        times.append((time.perf_counter() - start) * 1e3)
    return times


if __name__ == "__main__":
    # Workers import the workshop by the name of its module, which must not be __main__.
    import executor_overhead

    executor_overhead.main()
