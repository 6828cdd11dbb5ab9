"""One stretch of a trial: whatever happens becomes an outcome with a reason."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch

from harness.errors import OutOfMemory, TooFewSamples, TrialEnd, first_line
from harness.hardware import Sampler, meters_for
from harness.measure import free_memory, is_out_of_memory, only_new_garbage
from harness.records import Outcome
from harness.study.contract import Assignment, Evaluation, Group, Watcher
from harness.study.job import Job
from harness.study.stop import Stop
from harness.study.trial.attempt import Attempt
from harness.study.trial.building import largest_batch, stages_of
from harness.study.trial.finishing import end_of, evaluation_of
from harness.study.trial.gates import Gates
from harness.study.trial.guarded import Guarded, WatcherError
from harness.study.trial.memory import halved
from harness.study.trial.progress import End, Progress
from harness.study.trial.stacked import StackedTrials, key_of


@dataclass(frozen=True)
class JobWorkshop:
    """Opens evaluators of one job, each on one of the devices."""

    job: Job
    devices: Sequence[torch.device]

    @contextmanager
    def open(self, stop: Stop, *, threads: int, device: int = 0) -> Iterator[Evaluator]:
        """Return an evaluator that computes on number ``device`` of the devices, and on ``threads`` CPU threads."""
        torch.set_num_threads(threads)
        job = replace(self.job, device=self.devices[device])
        with current_device(job.device), Sampler(meters_for(job.device)) as sampler, only_new_garbage():
            yield Evaluator(job, sampler, stop)


def current_device(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the one that torch takes where none is named: libraries would begin on the first GPU as well.

    Each process that has begun on a GPU holds some hundred MiB of it, whatever it does there.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


class Evaluator:
    """Evaluates candidates one after the other on one device."""

    def __init__(self, job: Job, sampler: Sampler, stop: Stop) -> None:
        self._job = job
        self._sampler = sampler
        self._stop = stop

    def evaluate(self, group: Group, watcher: Watcher) -> Iterator[Evaluation]:
        """Train and measure: those of one key as one program, the others one after the other.

        Each goes on from its checkpoint if it has one. Whatever a candidate raises becomes an outcome; only what the
        watcher raises, which is no fault of the candidate, leaves this function.
        """
        stacks: dict[Hashable, list[Assignment]] = {}
        for assignment in group:
            if (key := key_of(self._job, assignment)) is None:
                yield self._evaluation(assignment, watcher)
            else:
                stacks.setdefault(key, []).append(assignment)
        for assignments in stacks.values():
            yield from StackedTrials(self._job, assignments, self._sampler, self._stop, Guarded(watcher)).run()
            free_memory(self._job.device)

    def _evaluation(self, assignment: Assignment, watcher: Watcher) -> Evaluation:
        job = self._job.of_trial(assignment.seed)
        samples = len(job.dataset.train)
        batch = min(samples, largest_batch(assignment.candidate, samples))
        progress = Progress(assignment, self._sampler, Gates(job, self._stop.check, self._sampler), batch)
        with self._sampler.labelled(assignment.trial):
            end = self._fitting(job, progress, Guarded(watcher))
        evaluation = evaluation_of(job, progress, end)
        free_memory(job.device)
        return evaluation

    def _fitting(self, job: Job, progress: Progress, watcher: Guarded) -> End:
        """Train; out of memory, again with half the micro-batch, until not even one sample fits."""
        micro_batch, said = progress.assignment.micro_batch, ""
        while True:
            try:
                return Attempt(job, self._stop, progress, watcher, micro_batch).run()
            except WatcherError as error:
                raise error.cause from None
            except TooFewSamples as end:
                if not 0 < _at_once(progress, micro_batch) < progress.batch:
                    fix = "set batch_size to 2 or more, or norm to layer, group or none"
                    return End(end.outcome, f"batch size {progress.batch}: {end}; {fix}")
                return End(Outcome.OOM, f"out of memory, and {end}{said and f': {said}'}")
            except TrialEnd as end:
                return End(end.outcome, str(end))
            except Exception as error:  # noqa: BLE001 - a candidate may hold any code, and none of it ends the study
                if not is_out_of_memory(error):
                    return end_of(error)
                said = first_line(error)
            # Outside of the handler: until here the traceback held what is to be freed.
            shared = progress.assignment.shared
            if shared or stages_of(progress.assignment.candidate):  # a fit is to all samples, or not at all
                return End(Outcome.OOM, f"out of memory{' while sharing the device' if shared else ''}: {said}")
            tried = _at_once(progress, micro_batch)
            if tried <= 1:
                return End(Outcome.OOM, f"{OutOfMemory('not even one sample fits in memory')}: {said}")
            micro_batch = halved(tried)
            progress.restart()
            free_memory(job.device)


def _at_once(progress: Progress, micro_batch: int) -> int:
    """Return how many samples went through the model at once, in a try with at most ``micro_batch`` (0: all)."""
    return (progress.plan.micro_batch if progress.plan else micro_batch) or progress.batch
