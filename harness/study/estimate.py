"""What a search would cost, from some steps of training per architecture on this device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean

from harness.errors import TooFewSamples
from harness.spec import Candidate, options_of
from harness.study.building import (
    build_model,
    epochs_of,
    place_training,
    plan_training,
    static_figures,
    with_batch_size,
)
from harness.study.gates import Gates
from harness.study.job import Job
from harness.study.points import middle_candidate
from harness.study.probing import Prober
from harness.train import never


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one architecture in the middle of its ranges."""

    architecture: str
    parameters: float
    step_ms: float
    epoch_s: float
    trial_s: float
    """All epochs, without early stopping or pruning."""


def estimate_costs(job: Job) -> list[Estimate]:
    """Return one estimate per architecture option, measured in about a second each on the job's device."""
    return [_estimate(job, name) for name in options_of(job.spec)]


def total_seconds(job: Job, estimates: list[Estimate]) -> float:
    """Return what all trials cost when every architecture is tried equally often and none is given up."""
    seconds = job.spec.total * mean(estimate.trial_s for estimate in estimates)
    return min(seconds, job.spec.budget.time or math.inf)


def _estimate(job: Job, architecture: str) -> Estimate:
    candidate = middle_candidate(job.spec, architecture)
    try:
        return _measured(job, architecture, candidate)
    except TooFewSamples:
        # Trials with this batch size will end at once; those that take time have at least two samples.
        return _measured(job, architecture, with_batch_size(candidate, 2))


def _measured(job: Job, architecture: str, candidate: Candidate) -> Estimate:
    candidate, _ = Gates(job, never).settle(candidate)
    model = build_model(job, candidate, job.dataset, seed=0)
    parameters = static_figures(job, candidate, model).values["parameters"]
    train = place_training(job, candidate, job.dataset, seed=0)
    predicted = Prober(job, never).predict(candidate, plan_training(job, candidate, job.dataset, train))
    epoch_s = predicted["epoch_s"]
    trial_s = epoch_s * epochs_of(job, candidate)
    return Estimate(architecture, parameters, 1e3 * predicted["step_s"], epoch_s, trial_s)
