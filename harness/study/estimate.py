"""What a search would cost, from a second of training per architecture on this device."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from statistics import mean, median

from harness.errors import TimedOut
from harness.spec import options_of
from harness.study.building import build_model, make_fit, place_training, plan_training, static_figures
from harness.study.job import Job
from harness.study.points import middle_candidate

PROBE_S = 1.0
FORWARD_SHARE = 1 / 3
"""A forward pass is about a third of a training step, which is what a validation sample costs."""


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
    dataset = job.dataset
    model = build_model(job, candidate, dataset, seed=0)
    parameters = static_figures(job, candidate, model).values["parameters"]
    train = place_training(job, candidate, dataset, seed=0)
    plan = plan_training(job, candidate, dataset, train)
    stamps: list[float] = []

    def stop() -> None:
        stamps.append(time.perf_counter())
        if len(stamps) > 3 and stamps[-1] - stamps[0] > PROBE_S:
            raise TimedOut("the probe has seen enough")

    fit = make_fit(job, candidate, dataset, model, train, None, plan, seed=0, trial=0, stop=stop)
    try:
        for _ in fit:
            pass
    except TimedOut:
        pass
    # The first step pays for set-up, so it does not count where there are others.
    steps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    step_s = median(steps[1:] or steps or [math.nan])
    validation_steps = len(dataset.validation) / candidate.training.batch_size
    epoch_s = step_s * (len(train) + FORWARD_SHARE * validation_steps)
    return Estimate(architecture, parameters, 1e3 * step_s, epoch_s, epoch_s * job.spec.budget.epochs)
