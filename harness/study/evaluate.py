"""One trial: build the candidate, plan it, train it, measure it; whatever happens becomes an outcome with a reason."""

from __future__ import annotations

import gc
import math
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from harness import measure
from harness.data import Batches, derive_seed, place
from harness.errors import Infeasible, StorageError, TrialEnd
from harness.hardware import Sampler
from harness.plan import running
from harness.plan.running import AUTOCAST
from harness.records import FIGURES, EpochRecord, Figures, Outcome, Plan, TrialRecord
from harness.spec import Candidate
from harness.study.building import (
    EVALUATION_BATCH,
    build_model,
    make_fit,
    place_training,
    plan_training,
    static_figures,
)
from harness.study.job import Job
from harness.study.stop import Stop

Report = Callable[[EpochRecord], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one trial left: its record, its epochs, and the weights of its best epoch (in host memory)."""

    record: TrialRecord
    epochs: list[EpochRecord]
    state: dict[str, Tensor]
    traceback: str = ""
    """Of a crash, for the log of the run."""


@dataclass(slots=True)
class _Progress:
    """What is known of a trial so far, so that an early end keeps it."""

    epochs: list[EpochRecord] = field(default_factory=list)
    plan: Plan | None = None
    figures: Figures = field(default_factory=Figures)
    best_epoch: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _End:
    outcome: Outcome
    reason: str
    traceback: str = ""


class Evaluator:
    """Evaluates candidates one after the other on one device."""

    def __init__(self, job: Job, sampler: Sampler, stop: Stop) -> None:
        self._job = job
        self._sampler = sampler
        self._stop = stop

    def evaluate(self, number: int, candidate: Candidate, params: dict[str, Any], report: Report) -> Evaluation:
        """Train and measure ``candidate`` as trial ``number``.

        ``report`` is called after every epoch and may raise :class:`Pruned`. Whatever the candidate raises becomes an
        outcome; only :class:`StorageError`, which is no fault of the candidate, leaves this function.
        """
        seed = derive_seed(self._job.spec.search.seed, "trial", number)
        progress = _Progress()
        started_unix_s, started = time.time(), time.perf_counter()
        with _labelled(self._sampler, number):
            end = self._attempt(number, seed, candidate, progress, report)
        seconds = time.perf_counter() - started
        _free(self._job.device)
        figures = self._sampler.window(started_unix_s, started_unix_s + seconds) | progress.figures
        best = progress.epochs[progress.best_epoch - 1] if progress.best_epoch else None
        record = TrialRecord(
            trial=number,
            outcome=end.outcome,
            reason=end.reason,
            candidate=candidate.as_dict(),
            params=params,
            seed=seed,
            epochs=len(progress.epochs),
            best_epoch=progress.best_epoch,
            train=best.train if best else {},
            validation=best.validation if best else {},
            plan=progress.plan,
            figures={name: figures.values[name] for name in FIGURES if name in figures.values},
            reasons={name: text for name, text in figures.reasons.items() if name in FIGURES},
            notes=tuple(dict.fromkeys(epoch.note for epoch in progress.epochs if epoch.note)),
            started_unix_s=started_unix_s,
            seconds=seconds,
        )
        return Evaluation(self._with_values(record), progress.epochs, progress.state, end.traceback)

    def _attempt(self, number: int, seed: int, candidate: Candidate, progress: _Progress, report: Report) -> _End:
        try:
            self._run(number, seed, candidate, progress, report)
        except TrialEnd as end:
            return _End(end.outcome, str(end))
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - a candidate may hold any code, and none of it ends the study
            return _failure(error)
        asked, done = self._job.spec.budget.epochs, len(progress.epochs)
        if done < asked:
            return _End(
                Outcome.COMPLETE,
                f"no improvement after epoch {progress.best_epoch}: stopped at epoch {done} of {asked}",
            )
        return _End(Outcome.COMPLETE, f"trained for all {asked} epochs")

    def _run(self, number: int, seed: int, candidate: Candidate, progress: _Progress, report: Report) -> None:
        job = self._job
        model = build_model(job, candidate, job.dataset, seed)
        progress.figures = static_figures(job, candidate, model)
        self._check_limits(progress.figures)
        train = place_training(job, candidate, job.dataset, seed)
        validation = place(
            job.dataset.validation, device=job.device, batch_size=EVALUATION_BATCH, seed=seed, shuffle=False
        )
        plan = progress.plan = plan_training(job, candidate, job.dataset, train)
        fit = make_fit(
            job, candidate, job.dataset, model, train, validation, plan, seed=seed, trial=number, stop=self._stop.check
        )
        memory = measure.MemoryPeak(job.device)
        with memory:
            for epoch in fit:
                progress.epochs.append(epoch)
                progress.best_epoch = fit.best_epoch
                report(epoch)
        fit.restore_best()
        progress.state = fit.best_state
        progress.figures |= memory.figures | _speed(model, validation, plan, progress.epochs)

    def _check_limits(self, figures: Figures) -> None:
        limit, parameters = self._job.spec.limits.parameters, figures.values["parameters"]
        if limit is not None and parameters > limit:
            raise Infeasible(f"parameters {parameters:,.0f} > limit {limit:,} ({parameters / limit - 1:+.0%})")

    def _with_values(self, record: TrialRecord) -> TrialRecord:
        """Add the objectives' values to a complete trial; a value that nobody could measure makes it a crash."""
        if record.outcome is not Outcome.COMPLETE:
            return record
        values = tuple(objective.value(record.validation, record.figures) for objective in self._job.objectives)
        for objective, value in zip(self._job.objectives, values, strict=True):
            if not math.isfinite(value):
                reason = f"objective {objective.metric} could not be measured on {self._job.device}"
                return replace(record, outcome=Outcome.CRASHED, reason=reason)
        return replace(record, values=values)


def _speed(model: nn.Module, validation: Batches, plan: Plan, epochs: list[EpochRecord]) -> Figures:
    """Measure inference with the trained weights; the training speed is the median over the epochs."""
    rates = sorted(epoch.train_samples_s for epoch in epochs)
    device = torch.device(plan.device)
    inputs = next(iter(validation.epoch(1))).inputs
    one = tuple(x[:1] for x in inputs)
    mixed = plan.precision in AUTOCAST
    with running(plan), torch.autocast(device.type, dtype=AUTOCAST.get(plan.precision), enabled=mixed):
        inference = measure.inference_throughput(model, [inputs], device=device)
        latency = measure.latency(model, one, device=device)
    return Figures({"train_samples_s": rates[len(rates) // 2]}) | inference | latency


def _failure(error: Exception) -> _End:
    """Tell running out of memory from any other failure; the first line of the message is the reason."""
    text = (str(error).strip() or "no message").splitlines()[0]
    # The CPU allocator has no exception class of its own.
    out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text
    if out_of_memory:
        return _End(Outcome.OOM, f"out of memory: {text}")
    return _End(Outcome.CRASHED, f"{type(error).__name__}: {text}", traceback.format_exc())


@contextmanager
def _labelled(sampler: Sampler, number: int) -> Iterator[None]:
    """Mark the telemetry of a stretch with its trial, with one sample at each end."""
    sampler.trial = number
    sampler.sample()
    try:
        yield
    finally:
        sampler.sample()
        sampler.trial = -1


def _free(device: torch.device) -> None:
    """Give a trial's memory back before the next one, so that their peaks do not add up."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
