"""Putting a plan together, and how images lie in memory: channel by channel, or pixel by pixel (channels last).

Pixel by pixel, convolutions of small maps can also go by Winograd's algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache

import torch
from torch import nn

from harness.data import Batch, Batches
from harness.hardware import freed_memory_kept
from harness.plan.calibration import Choice, Probe, fastest
from harness.plan.learning import Lesson, Loss
from harness.plan.memory import Memory
from harness.plan.precision import choose_precision
from harness.plan.running import LAYOUTS, random_state_kept, thread_count
from harness.plan.threads import choose_threads
from harness.plan.winograd import fits, has_small_maps
from harness.records import Plan

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
BUDGET_S = 0.3


def make_plan(
    make_model: Callable[[], nn.Module],
    batches: Batches,
    *,
    device: torch.device,
    memory: Memory | None,
    loss: Loss,
    configuration: str = "",
    precision: str = "auto",
    data: Hashable = None,
    threads: int | None = None,
    micro_batch: int = 0,
    steps: int,
) -> Plan:
    """Return how the model that ``make_model`` builds is best trained for ``steps`` on ``batches`` here, and why.

    ``precision`` is one of the names in ``training.precision``; ``auto`` is the fastest here that does not hurt the
    ``loss``. ``configuration`` says every parameter of the model in words. ``threads`` is the number of CPU threads
    this trial may use at most, by default as many as torch uses now; of a batch only ``micro_batch`` samples go through
    the model at once (0: all). Whatever has to be measured is measured with the first batches, takes a second or two,
    and goes into the ``memory`` for the next candidate of the same configuration: times for any batches, a verdict on
    the loss for those that ``data`` is equal for. Without a memory nothing is measured: every choice is made by rule,
    and does not depend on a clock. Models built for measuring do not disturb torch's random generators. Raises
    :class:`HardwareError` for a precision that the device cannot do.
    """
    first = next(iter(batches.epoch(1)))
    if micro_batch:
        first = Batch(tuple(x[:micro_batch] for x in first.inputs), first.targets[:micro_batch])
    probe = Probe(make_model, first, device, loss, configuration)
    most = torch.get_num_threads() if threads is None else threads

    @cache
    def layout(name: str) -> Choice:
        return choose_layout(probe, name, memory)

    def layout_of(name: str) -> str:
        return layout(name).value

    lesson = Lesson(make_model, batches, loss, device=device, layout_of=layout_of, micro_batch=micro_batch, data=data)

    def settled() -> Choice:
        return choose_precision(precision, probe, memory, lesson, steps=steps, layout_of=layout_of)

    with random_state_kept(device), freed_memory_kept():
        with thread_count(most):
            # Before whatever is measured, which is then measured as it will run.
            team = choose_threads(probe, "fp32" if precision == "auto" else settled().value, most, memory)
        with thread_count(int(team.value)):
            chosen = settled()
            laid_out = layout(chosen.value)
    return Plan(
        device=str(device),
        precision=chosen.value,
        precision_ratio=chosen.ratio,
        precision_reason=chosen.reason,
        batch_size=batches.batch_size,
        layout=laid_out.value,
        layout_reason=laid_out.reason,
        data_path=batches.path,
        data_reason=batches.reason,
        threads=int(team.value),
        threads_reason=team.reason,
        micro_batch=micro_batch,
    )


def choose_layout(probe: Probe, precision: str, memory: Memory | None) -> Choice:
    """Return the layout that is measured to be fastest; ``contiguous`` where another gains little.

    Only a model with two-dimensional convolutions on image batches is measured, once per machine, precision,
    architecture and batch shape; without a ``memory`` none is.
    """
    if not any(x.ndim == 4 for x in probe.batch.inputs):
        return Choice("contiguous", reason="the inputs are not images")
    if not any(isinstance(layer, CONVOLUTIONS) for layer in probe.model.modules()):
        return Choice("contiguous", reason="the model has no convolutions")
    if memory is None:
        return Choice("contiguous", reason="by rule")
    # What was remembered before there was a third layout says nothing about it.
    by_winograd = probe.device.type == "cpu" and precision == "fp32" and any(map(fits, probe.model.modules()))
    key = (precision, probe.key, "winograd") if by_winograd else (precision, probe.key)
    return memory.choice("layout", key, LAYOUTS, lambda: _measure_layouts(probe, precision, by_winograd))


def _measure_layouts(probe: Probe, precision: str, by_winograd: bool) -> Choice:
    transforms = by_winograd and has_small_maps(probe.model, probe.batch.inputs)
    offered = LAYOUTS if transforms else tuple(each for each in LAYOUTS if each != "winograd")
    arms = {layout: probe.step(precision=precision, layout=layout) for layout in offered}
    seconds = probe.compare(arms, budget_s=BUDGET_S, order=offered)
    ratios = {layout: seconds["contiguous"] / seconds[layout] for layout in offered}
    chosen = fastest(seconds, offered)
    told = ", ".join(f"{layout} measured {ratios[layout]:.2f}x contiguous" for layout in offered[1:])
    return Choice(chosen, ratios[chosen], told)
