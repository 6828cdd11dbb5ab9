"""Gates before the training: what is counted and predicted of a candidate, against the limits and the time.

Gate 0 needs no device: parameters, FLOPs, and memory by the sizes of tensors. Gate 1 runs the candidate: the latency of
one sample, then a few steps of training (:mod:`harness.study.trial.probing`). The cheap questions come first, so that
most of what is out of the question costs next to nothing, and nothing is asked that no limit and no time depends on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager

import torch

from harness.errors import HardwareError, Interrupted, TimedOut
from harness.hardware import Sampler, meters_for, read_limits
from harness.measure import allocated_mib, free_memory, is_out_of_memory, training_footprint
from harness.plan import batch_size_by_rule, choose_batch_size, may_be_lower, prepare, random_state_kept, sizes_for
from harness.records import MIB, NAN, PREDICTED, Figures, Plan
from harness.spec import Candidate, Spec
from harness.study.job import Job
from harness.study.limits import check
from harness.study.trial.building import (
    build_model,
    drawn_model,
    epochs_of,
    largest_batch,
    one_sample,
    place_training,
    plain_loss,
    plan_training,
    smallest_batch,
    stages_of,
    steps_of,
    with_batch_size,
)
from harness.study.trial.memory import Growth
from harness.study.trial.probing import Prober
from harness.study.trial.speed import measure_latency
from harness.train import state_per_parameter

TOO_SLOW = 2.0
"""Times a limit on latency that no layout and no precision can make good: so slow a candidate is not planned."""
ENERGY_METERS = ("energy_counter_j", "power_w", "power_instant_w", "cpu_energy_j")
"""Telemetry from any of which energy follows."""
PROBED = ("memory_mb", "energy_j_per_sample", "train_seconds")
"""Limits that are checked by steps of training."""


def probes(spec: Spec) -> bool:
    """Tell whether steps of training are tried out before a candidate is trained."""
    limited = any(getattr(spec.limits, name) is not None for name in PROBED)
    return limited or spec.budget.time is not None or spec.budget.trial_time is not None


def check_meters(job: Job) -> None:
    """Raise :class:`HardwareError` where a limit is on energy, which cannot be measured here."""
    if job.spec.limits.energy_j_per_sample is None:
        return
    with Sampler(meters_for(job.device)) as sampler:
        why = sampler.window(sampler.sample(), sampler.sample()).reasons.get("energy_j", "")
        samples = sampler.drain()
    if not any(math.isfinite(each.values[name]) for each in samples for name in ENERGY_METERS):
        raise HardwareError(
            f"limits.energy_j_per_sample: cannot be checked on {job.device}: {why}; remove this limit, "
            "or search on a device that reports its energy (harness devices)"
        )


class Gates:
    """Predicts what one candidate takes, and raises :class:`Infeasible` where that is beyond a limit."""

    def __init__(self, job: Job, check: Callable[[], None], sampler: Sampler | None = None) -> None:
        self.predicted: dict[str, float] = {}
        """By the names in records.PREDICTED."""
        self.seconds = 0.0
        """Spent on it."""
        self._job = job
        self._limits = job.spec.limits
        energy = self._limits.energy_j_per_sample is not None
        self._prober = Prober(job, check, sampler if energy else None)

    def settle(self, candidate: Candidate) -> tuple[Candidate, str]:
        """Return the candidate with its batch size settled, and why that; ``""``: it was settled before."""
        if candidate.training.batch_size != "auto":
            return candidate, ""
        samples, limit_mb = self._job.dataset.train, self._limits.memory_mb or math.inf
        sizes, memory = sizes_for(len(samples)), self._job.choosing
        if memory is None:
            choice = batch_size_by_rule(sizes)
            return with_batch_size(candidate, int(choice.value)), f"batch size {choice.reason}"
        growth = Growth(self._job.device)

        def rate(size: int) -> float:
            if not growth.fits(size):
                return NAN
            allocated = allocated_mib(self._job.device)
            try:
                step_s, memory_mb = self._prober.step(with_batch_size(candidate, size), plan, size)
            except Exception as error:
                if is_out_of_memory(error):
                    return NAN
                raise
            growth.add(size, memory_mb - allocated)
            # Only a few of the samples were there, and all of them will be.
            return NAN if memory_mb + samples.placed_bytes / MIB > limit_mb else size / step_s

        with self._timed():
            middle, plan = self._middle(candidate, sizes)
            with random_state_kept(self._job.device):
                key: Hashable = self._prober.key(middle, plan), read_limits().memory_mib
            if limit_mb < math.inf:
                key = key, limit_mb, samples.placed_bytes
            choice = choose_batch_size(sizes, rate, key=key, memory=memory)
        return with_batch_size(candidate, int(choice.value)), f"batch size {choice.reason}"

    def _middle(self, candidate: Candidate, sizes: Sequence[int]) -> tuple[Candidate, Plan]:
        """Return the candidate at a middle size, else at the smallest, with the plan by which all are measured."""
        for size in (sizes[len(sizes) // 2], sizes[0]):
            settled = with_batch_size(candidate, size)
            try:
                return settled, self._plan(settled)
            except Exception as error:
                if size == sizes[0] or not is_out_of_memory(error):
                    raise
            free_memory(self._job.device)
        raise AssertionError("the smallest size is the last")

    def before_planning(self, candidate: Candidate, figures: Figures) -> None:
        """Check counts, the sizes of tensors, and a latency that no plan can make good."""
        check(self._limits, figures.values, "counted")
        if stages_of(candidate):
            return
        limit_mb, limit_ms = self._limits.memory_mb, self._limits.latency_ms
        with self._timed():
            if limit_mb is not None:
                self.predicted["static_memory_mb"] = self._static_memory_mb(candidate)
                if not self._may_take_less(candidate):
                    check(self._limits, {"memory_mb": self.predicted["static_memory_mb"]}, "predicted by its tensors")
            if limit_ms is not None:
                # Whoever passes is measured again as planned, and that counts.
                self._predict_latency(candidate, self._plain)
                if self.predicted["latency_ms"] > TOO_SLOW * limit_ms:
                    check(self._limits, self.predicted, "predicted")

    def before_training(self, candidate: Candidate, plan: Plan) -> None:
        """Check latency as planned, and by some steps of training whatever depends on them.

        Nothing is predicted of a model that is fitted: how large it gets, and how slow, is known once it is.
        """
        if stages_of(candidate):
            return
        with self._timed():
            if self._limits.latency_ms is not None:
                self._predict_latency(candidate, plan)
                check(self._limits, self.predicted, "predicted")
            if probes(self._job.spec):
                predicted = self._prober.predict(candidate, plan)
                self.predicted |= {name: value for name, value in predicted.items() if name in PREDICTED}
                self._predict_training(candidate)
                check(self._limits, self.predicted, "predicted")

    def epoch_s_again(self, candidate: Candidate, plan: Plan) -> float:
        """Return the seconds of an epoch by the shorter of two measurements; NaN where none was made.

        What is remembered may have been measured while other programs took most of the machine.
        """
        if "epoch_s" not in self.predicted:
            return NAN
        with self._timed():
            again_s = self._prober.predict(candidate, plan, anew=True)["epoch_s"]
        self.predicted["epoch_s"] = min(again_s, self.predicted["epoch_s"])
        self._predict_training(candidate)
        return self.predicted["epoch_s"]

    def _predict_training(self, candidate: Candidate) -> None:
        """Say what all epochs take."""
        epochs = epochs_of(self._job, candidate) * self._job.trainings
        self.predicted["train_seconds"] = self.predicted["epoch_s"] * epochs

    @property
    def _plain(self) -> Plan:
        """Return a plan in which nothing is chosen yet."""
        return Plan(
            device=str(self._job.device),
            precision="fp32",
            precision_ratio=NAN,
            precision_reason="",
            batch_size=1,
            layout="contiguous",
            layout_reason="",
            data_path="",
            data_reason="",
            threads=torch.get_num_threads(),
        )

    def _may_take_less(self, candidate: Candidate) -> bool:
        """Tell whether its tensors may be in a lower precision than fp32."""
        steps = steps_of(self._job, candidate, smallest_batch(candidate, len(self._job.dataset.train)))
        return may_be_lower(candidate.training.precision, self._job.device, steps)

    def _predict_latency(self, candidate: Candidate, plan: Plan) -> None:
        """Measure the latency of one sample, on a model of its own: some keep what they saw when they first ran."""
        device, dataset = self._job.device, self._job.dataset
        one, limit_ms = one_sample(dataset, device).inputs, self._limits.latency_ms
        with random_state_kept(device):
            model = prepare(build_model(self._job, candidate, dataset, seed=0), device=device, layout=plan.layout)
            key = self._prober.shape(candidate, model, one), plan.precision, plan.layout, plan.threads, limit_ms
            found = self._prober.remembered(
                "latency", candidate, key, lambda: measure_latency(model, one, plan, limit_ms=limit_ms).values
            )
        self.predicted["latency_ms"] = found["latency_p50_ms"]

    def _static_memory_mb(self, candidate: Candidate) -> float:
        """Return what the tensors of a step take; on a host with all that the process holds now."""
        job, samples = self._job, len(self._job.dataset.train)
        host = torch.device("cpu")
        footprint = training_footprint(
            lambda: drawn_model(job, candidate, job.dataset),
            one_sample(job.dataset, host),
            plain_loss(candidate, job.dataset, host).function,
            batch=min(samples, largest_batch(candidate, samples)),
            state_per_parameter=state_per_parameter(candidate.optimizer) + candidate.training.averages,
        )
        return footprint.values["static_memory_mb"] + allocated_mib(job.device)

    def _plan(self, candidate: Candidate) -> Plan:
        train = place_training(self._job, candidate, self._job.dataset, seed=0)
        return plan_training(self._job, candidate, self._job.dataset, train)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start


def check_time(epoch_s: float, epochs: int, *, trial_s: float, run_s: float) -> None:
    """Raise where so many epochs take longer than is left of the trial's own time, or of the run's; NaN: who knows.

    Raises :class:`TimedOut` for the former, which is final, and :class:`Interrupted` for the latter: with more time the
    trial will be trained.
    """
    needed_s = epoch_s * epochs
    about = f"not started: {epochs} epochs take about {needed_s:.3g} s"
    if needed_s > trial_s:
        raise TimedOut(f"{about}, and {max(0.0, trial_s):.3g} s of the trial's time are left")
    if needed_s > run_s:
        raise Interrupted(f"{about}, and {max(0.0, run_s):.3g} s of the run's time are left")
