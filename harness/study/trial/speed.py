"""How fast a candidate is: before it is trained, and when it has been.

Two trained models of one architecture, in one plan, are as fast as each other whatever their weights. So an
architecture is measured once per machine, as what a gate needs is: the run's own record has the word, then what this
machine remembers of earlier runs (:mod:`harness.plan.memory`). A search by latency or throughput, or with a limit on
latency, takes nothing from other runs. Modules of the user's own are measured each time, since their layers do not tell
what they do. Two workers that come upon an architecture at once both measure it, and what the first one found counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Sequence
from statistics import median

import torch
from torch import Tensor, nn

from harness import measure
from harness.data import Batches
from harness.models import configuration, is_own
from harness.plan import running
from harness.plan.calibration import shape_key
from harness.plan.running import AUTOCAST
from harness.records import NAN, EpochRecord, Figures, Plan
from harness.spec import Candidate
from harness.study.job import Job

LATENCY_S = 0.1
"""Of one measurement of latency."""
THROUGHPUT_S = 0.5
"""At most, of one measurement of throughput."""
TRIES = 3
SHARE = 0.05
"""Of a training, what measuring its speed may take where nothing hangs on it."""
LEAST_S = 0.02
"""What it may take however short the training: tens of calls of a small model."""
DECIDING = ("latency_ms", "inference_samples_s")
"""Objectives that are measured here."""
HOUR_S = 3600.0


def measure_speed(
    model: nn.Module, validation: Batches, plan: Plan, epochs: Sequence[EpochRecord], *, job: Job, candidate: Candidate
) -> Figures:
    """Return the speed of a trained model: in training the median over the epochs, in inference as it is measured.

    What an earlier trial of the architecture has found is taken over, and the reasons say how old it is.
    """
    rate = Figures({"train_samples_s": median(epoch.train_samples_s for epoch in epochs)})
    decides, limit_ms = _decides(job), job.spec.limits.latency_ms
    most_s = math.inf if decides else max(LEAST_S, SHARE * sum(epoch.train_s for epoch in epochs))

    def inference() -> Figures:
        return measure_inference(model, validation, plan, limit_ms=limit_ms, most_s=most_s)

    if is_own(candidate.architecture):
        return rate | inference()
    memory = job.memory.of_this_run() if decides else job.memory
    begun_unix_s = time.time()
    known = memory.figures(
        "speed",
        (_key(model, validation, plan, candidate), limit_ms),
        lambda: {**inference().values, "measured_unix_s": time.time()},
    )
    measured_unix_s = known.pop("measured_unix_s", NAN)
    if measured_unix_s >= begun_unix_s:
        return rate | Figures(known)
    return rate | Figures(known, dict.fromkeys(known, f"measured {_age(begun_unix_s - measured_unix_s)} before"))


def measure_inference(
    model: nn.Module, validation: Batches, plan: Plan, *, limit_ms: float | None = None, most_s: float = math.inf
) -> Figures:
    """Measure throughput in batches, and the latency of one sample, of a model that is on its device.

    Each takes half of ``most_s`` seconds at most, or a single call.
    """
    device, half_s = torch.device(plan.device), most_s / 2
    inputs = _first_inputs(validation)
    with running(plan), torch.autocast(device.type, dtype=AUTOCAST.get(plan.precision), enabled=_mixed(plan)):
        inference = measure.inference_throughput(
            model, [inputs], device=device, min_s=min(0.1, half_s / 2), cap_s=min(THROUGHPUT_S, half_s)
        )
    one = tuple(x[:1] for x in inputs)
    return inference | measure_latency(model, one, plan, limit_ms=limit_ms, cap_s=min(LATENCY_S, half_s))


def measure_latency(
    model: nn.Module,
    one: tuple[Tensor, ...],
    plan: Plan,
    *,
    limit_ms: float | None = None,
    cap_s: float = LATENCY_S,
) -> Figures:
    """Return ``latency_p50_ms`` and ``latency_p95_ms`` for one sample that is on the device.

    Whatever else a machine does can only lengthen a call (Chen and Revels, 2016, "Robust benchmarking in noisy
    environments", arXiv:1608.04295), so what comes out above ``limit_ms`` is measured up to TRIES times, and the least
    median counts.
    """
    device = torch.device(plan.device)
    found: list[Figures] = []
    with running(plan), torch.autocast(device.type, dtype=AUTOCAST.get(plan.precision), enabled=_mixed(plan)):
        while len(found) < TRIES:
            found.append(measure.latency(model, one, device=device, cap_s=cap_s))
            if limit_ms is None or found[-1].values["latency_p50_ms"] <= limit_ms:
                break
    return min(found, key=lambda figures: figures.values["latency_p50_ms"])


def _decides(job: Job) -> bool:
    """Tell whether what is measured here says which trials are good, or allowed."""
    goals = [objective.metric for objective in job.objectives]
    return job.spec.limits.latency_ms is not None or any(name in goals for name in DECIDING)


def _key(model: nn.Module, validation: Batches, plan: Plan, candidate: Candidate) -> Hashable:
    """Return what the speed of inference depends on, beside the machine."""
    shape = shape_key(
        model, configuration(candidate.architecture), _first_inputs(validation), torch.device(plan.device)
    )
    return shape, plan.precision, plan.layout, plan.threads


def _first_inputs(validation: Batches) -> tuple[Tensor, ...]:
    return next(iter(validation.epoch(1))).inputs


def _age(seconds: float) -> str:
    """Return an age in words so coarse that alike trials are told in one line."""
    hours = seconds / HOUR_S
    if not hours >= 1.0:
        return "less than an hour"
    return f"{hours:.0f} h" if hours < 48.0 else f"{hours / 24.0:.0f} days"


def _mixed(plan: Plan) -> bool:
    return plan.precision in AUTOCAST
