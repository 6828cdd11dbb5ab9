"""How fast a candidate is: before it is trained, and when it has been."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch
from torch import Tensor, nn

from harness import measure
from harness.data import Batches
from harness.plan import running
from harness.plan.running import AUTOCAST
from harness.records import EpochRecord, Figures, Plan

LATENCY_S = 0.1
"""Of one measurement of latency."""
TRIES = 3


def measure_speed(
    model: nn.Module, validation: Batches, plan: Plan, epochs: Sequence[EpochRecord], *, limit_ms: float | None = None
) -> Figures:
    """Measure inference with the trained weights; the training speed is the median over the epochs."""
    rate = median(epoch.train_samples_s for epoch in epochs)
    return Figures({"train_samples_s": rate}) | measure_inference(model, validation, plan, limit_ms=limit_ms)


def measure_inference(model: nn.Module, validation: Batches, plan: Plan, *, limit_ms: float | None = None) -> Figures:
    """Measure throughput in batches, and the latency of one sample, of a model that is on its device."""
    device = torch.device(plan.device)
    inputs = next(iter(validation.epoch(1))).inputs
    with running(plan), torch.autocast(device.type, dtype=AUTOCAST.get(plan.precision), enabled=_mixed(plan)):
        inference = measure.inference_throughput(model, [inputs], device=device)
    latency = measure_latency(model, tuple(x[:1] for x in inputs), plan, limit_ms=limit_ms)
    return inference | latency


def measure_latency(model: nn.Module, one: tuple[Tensor, ...], plan: Plan, *, limit_ms: float | None = None) -> Figures:
    """Return ``latency_p50_ms`` and ``latency_p95_ms`` for one sample that is on the device.

    Whatever else a machine does can only lengthen a call (Chen and Revels, 2016, "Robust benchmarking in noisy
    environments", arXiv:1608.04295), so what comes out above ``limit_ms`` is measured up to TRIES times, and the least
    median counts.
    """
    device = torch.device(plan.device)
    found: list[Figures] = []
    with running(plan), torch.autocast(device.type, dtype=AUTOCAST.get(plan.precision), enabled=_mixed(plan)):
        while len(found) < TRIES:
            found.append(measure.latency(model, one, device=device, cap_s=LATENCY_S))
            if limit_ms is None or found[-1].values["latency_p50_ms"] <= limit_ms:
                break
    return min(found, key=lambda figures: figures.values["latency_p50_ms"])


def _mixed(plan: Plan) -> bool:
    return plan.precision in AUTOCAST
