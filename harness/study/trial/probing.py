"""A few steps of training, from which is predicted what all of it will take on this device.

Steps are timed at two batch sizes; seconds and memory are taken to grow in a straight line with the batch: a part that
is there whatever the batch (launching kernels, the optimiser) and a part for each sample. The larger size is the
candidate's own where that is soon measured, and then nothing is extrapolated. What comes out is remembered per machine,
device, configuration and shape: timed twice it would be a little different, and two runs of one seed should reject the
same ones. Modules of the user's own are measured each time, since their shapes do not tell what they do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from harness.data import Part, place
from harness.hardware import Sampler
from harness.measure import PeakMemory, allocated_mib
from harness.models import configuration, is_own
from harness.plan import random_state_kept
from harness.plan.calibration import shape_key
from harness.records import NAN, Named, Plan
from harness.spec import Candidate
from harness.spec.candidate import CONSTANT
from harness.study.job import Job
from harness.study.trial.building import (
    EVALUATION_BATCH,
    build_model,
    evaluation_batch,
    make_fit,
    one_sample,
    place_evaluation,
    with_batch_size,
)
from harness.study.trial.memory import straight
from harness.study.trial.step_clock import ENOUGH_S, LEAST_STEPS, WARM_UP, StepClock
from harness.train import evaluate

ENERGY_S = 1.5
"""Seconds of steps from which energy can be told: a GPU's power is an average over about a second."""
LARGE_S = 1.0
"""What the steps at a candidate's own batch size may take; where they would take longer, half of it is measured."""
STEPS_AN_EPOCH = 16
SMALL_SHARE = 4
"""The smaller batch is the candidate's own divided by this."""
ENDLESS = 1_000_000
"""Epochs of a training that a clock ends."""
SMALL_RATE = 1e-6
"""A rate at which nothing is learned and nothing diverges: it is time that is looked for."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What training in batches of one size takes."""

    batch: int
    step_s: float
    turn_s: float
    """What an epoch takes beside its steps; NaN: none came to its end."""
    memory_mib: float
    """The peak."""
    energy_j_per_sample: float


@dataclass(frozen=True, slots=True)
class Prober:
    """Probes the candidates of a job.

    ``check`` is called before every step and raises where there is to be an end; ``sampler`` tells energy, where that
    is asked for.
    """

    job: Job
    check: Callable[[], None]
    sampler: Sampler | None = None

    def predict(self, candidate: Candidate, plan: Plan, *, anew: bool = False) -> dict[str, float]:
        """Return ``epoch_s``, ``memory_mb``, ``energy_j_per_sample`` and ``step_s`` of a candidate that is so planned.

        By the names in records.PREDICTED, in their units; memory is the peak of training and validation with all that
        is allocated now; energy is NaN without a sampler. ``anew``: by what is measured now, whatever is remembered.
        Raises whatever the candidate raises.
        """
        job, batch = self.job, min(plan.batch_size, len(self.job.dataset.train))
        candidate = with_batch_size(candidate, batch)
        allocated = allocated_mib(job.device)
        with random_state_kept(job.device):
            key = self.key(candidate, plan)  # which seeds torch

            def measure() -> Mapping[str, float]:
                return self._line(candidate, plan, batch)

            line = measure() if anew else self.remembered("steps", candidate, key, measure)
        samples, held_out = len(job.dataset.train), len(job.dataset.validation)
        step_s = line["fixed_s"] + line["sample_s"] * batch
        rest = samples % batch
        steps_s = samples // batch * step_s + (line["fixed_s"] + line["sample_s"] * rest if rest else 0.0)
        epoch_s = steps_s + line["turn_s"] + held_out * line["validation_sample_s"]
        return {
            "step_s": step_s,
            "epoch_s": epoch_s,
            "memory_mb": allocated + line["memory_mib"],
            # Validation and the rest draw about as much power as the steps.
            "energy_j_per_sample": line["energy_j_per_sample"] * epoch_s / steps_s,
        }

    def step(self, candidate: Candidate, plan: Plan, batch: int) -> tuple[float, float]:
        """Return the seconds and the ``memory_mb`` of a step in batches of one size.

        Raises whatever the candidate raises.
        """
        with random_state_kept(self.job.device):
            steps = self._steps(candidate, plan, batch)
        return steps.step_s, steps.memory_mib

    def key(self, candidate: Candidate, plan: Plan) -> Hashable:
        """Return what the figures of a candidate depend on, beside the machine. Seeds torch."""
        dataset, training = self.job.dataset, candidate.training
        model = build_model(self.job, candidate, dataset, seed=0)
        inputs = one_sample(dataset, self.job.device).inputs
        batch = min(plan.batch_size, len(dataset.train))
        sizes = batch, _steps_an_epoch(dataset.train, batch), min(EVALUATION_BATCH, len(dataset.validation))
        averaged = (training.ema, training.swa) if training.averages else ()
        options = (
            training.loss,
            training.l1 > 0,
            training.clip_norm > 0,
            training.augment.model_dump_json(),
            *averaged,
        )
        optimizer = (candidate.optimizer.name, *sorted(n for n, value in candidate.optimizer.params.items() if value))
        planned = (plan.micro_batch, plan.precision, plan.layout, plan.data_path, plan.threads)
        return self.shape(candidate, model, inputs), sizes, optimizer, options, planned, self.sampler is not None

    def shape(self, candidate: Candidate, model: nn.Module, inputs: tuple[Tensor, ...]) -> Hashable:
        """Return what one pass of a candidate's model over such inputs depends on, beside the machine."""
        return shape_key(model, configuration(candidate.architecture), inputs, self.job.device)

    def remembered(
        self, what: str, candidate: Candidate, key: Hashable, measure: Callable[[], Mapping[str, float]]
    ) -> Mapping[str, float]:
        """Return figures as the run or this machine remembers them, or as they are measured now."""
        return measure() if is_own(candidate.architecture) else self.job.memory.figures(what, key, measure)

    def _line(self, candidate: Candidate, plan: Plan, batch: int) -> Mapping[str, float]:
        """Return the straight lines through two measured batch sizes; memory is above what is allocated now."""
        allocated = allocated_mib(self.job.device)
        small = self._steps(candidate, plan, min(batch, max(2, batch // SMALL_SHARE)))
        soon = small.step_s * batch / small.batch * (WARM_UP + LEAST_STEPS) <= LARGE_S
        size = batch if soon else max(small.batch, batch // 2)
        large = self._steps(candidate, plan, size) if size > small.batch else small
        fixed_s, sample_s = straight((small.batch, small.step_s), (large.batch, large.step_s))
        fixed_mib, sample_mib = straight(
            *((steps.batch, max(steps.memory_mib - allocated, 0.0)) for steps in (small, large))
        )
        validation_sample_s, validation_mib = self._validation(candidate, plan)
        return {
            "fixed_s": fixed_s,
            "sample_s": sample_s,
            "turn_s": 0.0 if math.isnan(small.turn_s) else small.turn_s,
            "validation_sample_s": validation_sample_s,
            "memory_mib": max(fixed_mib + sample_mib * batch, validation_mib - allocated),
            "energy_j_per_sample": large.energy_j_per_sample,
        }

    def _steps(self, candidate: Candidate, plan: Plan, batch: int) -> Steps:
        """Train for a moment in batches of one size."""
        job, optimizer = self.job, candidate.optimizer
        part = job.dataset.train.first(batch * _steps_an_epoch(job.dataset.train, batch))
        with PeakMemory(job.device) as peak:
            train = place(
                part,
                device=job.device,
                batch_size=batch,
                seed=0,
                shuffle=True,
                augment=candidate.training.augment,
                memory_limit_mib=0.0 if plan.data_path == "streamed" else None,
            )
            seconds = ENOUGH_S if self.sampler is None else ENERGY_S
            clock = StepClock(job.device, len(train), seconds=seconds, check=self.check)
            still = Named(optimizer.name, {**optimizer.params, "lr": SMALL_RATE})
            fit = make_fit(
                job,
                replace(candidate, schedule=CONSTANT, optimizer=still),
                job.dataset,
                build_model(job, candidate, job.dataset, seed=0),
                train,
                None,
                replace(plan, batch_size=batch, micro_batch=min(plan.micro_batch, batch)),
                seed=0,
                trial=0,
                stop=clock,
                epochs=ENDLESS,
            )
            start_unix_s = time.time()
            clock.watch(lambda: [None for _ in fit])
        return Steps(batch, clock.step_s, clock.turn_s, peak.mib, self._energy(start_unix_s, clock.step_s, batch))

    def _energy(self, start_unix_s: float, step_s: float, batch: int) -> float:
        """Return the joules of a sample while steps follow each other."""
        if self.sampler is None:
            return NAN
        end_unix_s = time.time()
        energy_j = self.sampler.window(start_unix_s, end_unix_s).values["energy_j"]
        return energy_j / ((end_unix_s - start_unix_s) / step_s * batch)

    def _validation(self, candidate: Candidate, plan: Plan) -> tuple[float, float]:
        """Return the seconds of one validation sample, and the memory that validation peaks at."""
        job = self.job
        part = job.dataset.validation.first(evaluation_batch(plan.micro_batch))
        if not len(part):
            return 0.0, 0.0
        with PeakMemory(job.device) as peak:
            model = build_model(job, candidate, job.dataset, seed=0)
            batches = place_evaluation(part, job.device, plan.micro_batch)
            seconds = []
            for _ in range(3):
                self.check()
                start = time.perf_counter()
                evaluate(model, batches, shape=job.dataset.shape, plan=plan, loss=candidate.training.loss)
                seconds.append(time.perf_counter() - start)
        return min(seconds[1:]) / len(part), peak.mib


def _steps_an_epoch(train: Part, batch: int) -> int:
    return max(1, min(STEPS_AN_EPOCH, len(train) // batch))
