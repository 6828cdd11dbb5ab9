"""What a search would cost, from some steps of training of a few candidates per architecture on this device."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import mean
from typing import NamedTuple

from torch import nn

from harness.data import derive_seed
from harness.errors import TooFewSamples, TrialEnd
from harness.measure import is_out_of_memory
from harness.models import is_own
from harness.plan import prepare
from harness.plan.running import thread_count
from harness.records import Plan
from harness.spec import Candidate, options_of
from harness.study.decide.points import drawn_candidate, middle_candidate
from harness.study.execute.execution import threads_of
from harness.study.job import Job
from harness.study.trial.building import (
    build_model,
    epochs_of,
    make_fit,
    place_evaluation,
    place_training,
    plan_training,
    stages_of,
    static_figures,
    with_batch_size,
)
from harness.study.trial.gates import Gates
from harness.study.trial.probing import Prober
from harness.study.trial.speed import measure_inference
from harness.train import never
from harness.train.stack import stack_key

DRAWN = 4
"""Candidates of each architecture that are tried beside the one in the middle: what a space holds differs widely."""


FITTED_SAMPLES = 2000
"""Samples that a model is fitted to at most, where it is no network, to see how long that takes."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one architecture: of the candidate in the middle of its ranges, and of some by chance."""

    architecture: str
    parameters: float
    """Of the one in the middle, as ``step_ms`` and ``epoch_s``."""
    step_ms: float
    epoch_s: float
    trial_s: float
    """All epochs, without early stopping or pruning: the mean of all candidates that were tried."""
    least_s: float
    """The same of the cheapest of them."""
    most_s: float
    """The same of the dearest of them."""
    beside_s: float
    """What is measured of a trial once it is trained: the time that this takes, of the one in the middle."""
    stacked: bool = False
    """Whether candidates like the one in the middle are trained as one program, in less time than each alone."""


class Total(NamedTuple):
    """What all trials take, in seconds: by the mean, the cheapest and the dearest candidate that was tried."""

    seconds: float
    least_s: float
    most_s: float


class _Measured(NamedTuple):
    parameters: float
    step_ms: float
    epoch_s: float
    trial_s: float
    beside_s: float


def estimate_costs(job: Job, at_once: int = 1) -> list[Estimate]:
    """Return one estimate per architecture option, measured on the job's device in about a second a candidate.

    Each is measured on as many threads as a trial has where so many are trained ``at_once``.
    """
    with thread_count(threads_of(job, at_once)):
        return [_estimate(job, name) for name in options_of(job.spec)]


def total_seconds(job: Job, estimates: list[Estimate], at_once: int = 1) -> Total:
    """Return what all trials take when every architecture is tried equally often and none is given up.

    So many are trained ``at_once``, and each alone. None of it is more than ``budget.time``. What is no trial is not in
    it: the start, the final model, the report.
    """
    each = (
        mean(estimate.trial_s + estimate.beside_s for estimate in estimates),
        min(estimate.least_s + estimate.beside_s for estimate in estimates),
        max(estimate.most_s + estimate.beside_s for estimate in estimates),
    )
    turns = math.ceil(job.spec.total / at_once)
    return Total(*(min(turns * trial_s, job.spec.budget.time or math.inf) for trial_s in each))


def _estimate(job: Job, architecture: str) -> Estimate:
    middle = _in_the_middle(job, architecture)
    seconds = [middle.trial_s, *_drawn_seconds(job, architecture)]
    return Estimate(
        architecture,
        *middle[:3],
        trial_s=mean(seconds),
        least_s=min(seconds),
        most_s=max(seconds),
        beside_s=middle.beside_s,
        stacked=stack_key(middle_candidate(job.spec, architecture), job.dataset.shape) is not None,
    )


def _drawn_seconds(job: Job, architecture: str) -> Iterator[float]:
    """Yield what trials of some candidates take; one that cannot be trained takes nothing, and is left out.

    None of modules of the user's own: they may raise anything, for which a trial has an outcome and this has not.
    """
    rng = random.Random(derive_seed(job.spec.search.seed, "estimate", architecture))
    for _ in range(DRAWN):
        candidate = drawn_candidate(job.spec, architecture, rng)
        if is_own(candidate.architecture):
            return
        try:
            yield _measured(job, candidate).trial_s
        except TrialEnd:
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise


def _in_the_middle(job: Job, architecture: str) -> _Measured:
    candidate = middle_candidate(job.spec, architecture)
    try:
        return _measured(job, candidate)
    except TooFewSamples:
        # Trials with this batch size will end at once; those that take time have at least two samples.
        return _measured(job, with_batch_size(candidate, 2))


def _measured(job: Job, candidate: Candidate) -> _Measured:
    if stages_of(candidate):
        return _fitted(job, candidate)
    candidate, _ = Gates(job, never).settle(candidate)
    model = build_model(job, candidate, job.dataset, seed=0)
    parameters = static_figures(job, model).values["parameters"]
    train = place_training(job, candidate, job.dataset, seed=0)
    plan = plan_training(job, candidate, job.dataset, train)
    predicted = Prober(job, never).predict(candidate, plan)
    epoch_s = predicted["epoch_s"]
    trial_s = epoch_s * epochs_of(job, candidate) * job.trainings
    return _Measured(parameters, 1e3 * predicted["step_s"], epoch_s, trial_s, _beside_s(job, model, plan))


def _fitted(job: Job, candidate: Candidate) -> _Measured:
    """Do the first stage of a fit on some of the samples; a fit to all is taken to take as long for each."""
    few = replace(job.dataset, train=job.dataset.train.first(FITTED_SAMPLES))
    model = build_model(job, candidate, few, seed=0)
    train = place_training(job, candidate, few, seed=0)
    plan = plan_training(job, candidate, few, train)
    start = time.perf_counter()
    next(iter(make_fit(job, candidate, few, model, train, None, plan, seed=0, trial=0, stop=never)))
    epoch_s = (time.perf_counter() - start) * len(job.dataset.train) / len(few.train)
    parameters = static_figures(job, model).values["parameters"]
    trial_s = epoch_s * epochs_of(job, candidate) * job.trainings
    return _Measured(parameters, 1e3 * epoch_s, epoch_s, trial_s, _beside_s(job, model, plan))


def _beside_s(job: Job, model: nn.Module, plan: Plan) -> float:
    """Return the seconds in which the speed of a model is measured, as it is once the model is trained."""
    validation = place_evaluation(job.dataset.validation, job.device)
    prepare(model, device=job.device, layout=plan.layout)
    start = time.perf_counter()
    measure_inference(model, validation, plan)
    return time.perf_counter() - start
