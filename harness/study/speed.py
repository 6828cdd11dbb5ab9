"""How fast a trained candidate is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from harness import measure
from harness.data import Batches
from harness.plan import running
from harness.plan.running import AUTOCAST
from harness.records import EpochRecord, Figures, Plan


def measure_speed(model: nn.Module, validation: Batches, plan: Plan, epochs: Sequence[EpochRecord]) -> Figures:
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
