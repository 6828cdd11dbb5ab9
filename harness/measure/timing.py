"""How long work takes on a device, by one protocol.

1. Warm up in blocks of calls until the medians of three blocks in a row agree within 2 %, or half the time is used up.
2. Repeat until there are enough calls, or the time is used up; at least once.
3. Latency times every call by itself and gives quantiles over the calls. Throughput lets calls follow each other
   without waiting, as work does in practice, times blocks of calls and gives their median.

On CUDA times are between events on the current stream, elsewhere wall time up to the end of the device's work. Models
run in evaluation and inference mode and get their modes back. A surrounding ``torch.autocast`` applies; as it keeps the
weights it has cast until it ends, leave it before training goes on. Measure on real or random samples: zeros draw less
power and can be faster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from harness.hardware import synchronize
from harness.models import evaluating
from harness.records import Figures

WARM_UP_BLOCK = 5
"""Calls in a block of the warm-up."""
AGREEMENT = 1.02
"""Largest ratio between the medians of three blocks that count as settled."""

LEAST_S = 1e-9
"""What no call takes less than: 0 would be an infinite rate."""

new_event: Callable[..., torch.cuda.Event] = torch.cuda.Event  # torch leaves its constructor untyped


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of single calls after the warm-up, and whether the warm-up settled before its time was up."""

    seconds: tuple[float, ...]
    settled: bool

    def quantile(self, share: float) -> float:
        """Return the least of the seconds that at least ``share`` of the calls did not exceed (never interpolated)."""
        return float(np.quantile(self.seconds, share, method="inverted_cdf"))


def time_calls(fn: Callable[[], object], *, device: torch.device, calls: int = 200, cap_s: float = 0.3) -> Timings:
    """Warm up, then time up to ``calls`` single calls within about ``cap_s`` seconds altogether, at least one."""
    start = time.perf_counter()
    _, calm = _warm_up(fn, device, cap_s / 2)
    seconds = [elapsed_s(fn, device)]
    while len(seconds) < calls and time.perf_counter() - start < cap_s:
        seconds.append(elapsed_s(fn, device))
    return Timings(tuple(seconds), calm)


def latency(
    model: nn.Module, inputs: tuple[Tensor, ...], *, device: torch.device, calls: int = 200, cap_s: float = 0.3
) -> Figures:
    """Return ``latency_p50_ms`` and ``latency_p95_ms`` of ``model(*inputs)``, one sample already on the device.

    With fewer than 20 calls within the cap (a call over about 10 ms), the 95th percentile is the slowest call.
    """
    with evaluating(model), torch.inference_mode():
        timings = time_calls(lambda: model(*inputs), device=device, calls=calls, cap_s=cap_s)
    return Figures({"latency_p50_ms": timings.quantile(0.50) * 1e3, "latency_p95_ms": timings.quantile(0.95) * 1e3})


def throughput(
    fn: Callable[[], object],
    samples: int,
    *,
    device: torch.device,
    min_s: float = 0.1,
    blocks: int = 5,
    cap_s: float = 0.5,
) -> float:
    """Return samples per second when calls of ``fn``, each of ``samples`` samples, follow each other without waiting.

    The median of ``blocks`` blocks that last about ``min_s`` seconds altogether; no further block is begun after
    ``cap_s`` seconds from the start, and at least one is measured.
    """
    start = time.perf_counter()
    call_s, _ = _warm_up(fn, device, cap_s / 2)
    calls = max(1, math.ceil(min_s / blocks / call_s))

    def block() -> None:
        for _ in range(calls):
            fn()

    seconds = [elapsed_s(block, device)]
    while len(seconds) < blocks and time.perf_counter() - start < cap_s:
        seconds.append(elapsed_s(block, device))
    return samples * calls / median(seconds)


def inference_throughput(
    model: nn.Module,
    batches: Sequence[tuple[Tensor, ...]],
    *,
    device: torch.device,
    min_s: float = 0.1,
    cap_s: float = 0.5,
) -> Figures:
    """Return ``inference_samples_s`` over the inputs of some batches, already on the device; a few batches suffice."""
    samples = sum(len(inputs[0]) for inputs in batches)
    if samples == 0:
        return Figures.missing("there are no samples to infer", "inference_samples_s")

    def infer() -> None:
        for inputs in batches:
            model(*inputs)

    with evaluating(model), torch.inference_mode():
        rate = throughput(infer, samples, device=device, min_s=min_s, cap_s=cap_s)
    return Figures({"inference_samples_s": rate})


def _warm_up(fn: Callable[[], object], device: torch.device, cap_s: float) -> tuple[float, bool]:
    """Call until settled or the cap; return the last block's median seconds a call, and whether it settled."""
    start = time.perf_counter()
    medians: list[float] = []
    while True:
        block = [elapsed_s(fn, device)]
        while len(block) < WARM_UP_BLOCK and time.perf_counter() - start < cap_s:
            block.append(elapsed_s(fn, device))
        medians.append(median(block))
        if settled(medians):
            return medians[-1], True
        if time.perf_counter() - start >= cap_s:
            return medians[-1], False


def settled(medians: Sequence[float]) -> bool:
    """Tell whether the last three of several blocks' medians agree."""
    last = medians[-3:]
    return len(last) == 3 and max(last) <= AGREEMENT * min(last)


def elapsed_s(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds until the device has done ``work``; never 0."""
    if device.type == "cuda":
        stream = torch.cuda.current_stream(device)
        begin, end = new_event(enable_timing=True), new_event(enable_timing=True)
        begin.record(stream)
        work()
        end.record(stream)
        end.synchronize()
        milliseconds: float = begin.elapsed_time(end)
        return max(milliseconds * 1e-3, LEAST_S)
    start = time.perf_counter()
    work()
    synchronize(device)
    return max(time.perf_counter() - start, LEAST_S)
