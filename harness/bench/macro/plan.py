"""Which cases a group has time for. A rough prediction: what takes longer is cut short when it is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from harness.bench.macro.step import make_call
from harness.bench.rows import Case
from harness.bench.timing.protocol import ENERGY_SHARE
from harness.bench.workload import Setting
from harness.measure import free_memory, synchronize
from harness.plan.running import thread_count
from harness.records import NAN

PROBE_BATCHES = (1, 8)
PROBE_CALLS = 3
"""Of which the fastest counts, and the first does not."""
LEAST_S = 0.15
"""Least time in which a case of short calls can be measured."""
CALLS = 6
"""Fewest calls of a case: two to begin with, one to warm up, three blocks."""
COMPILE_S = 15.0
"""What compiling a model is taken to last."""
COMPILED_S = 2.0
"""The same in later rounds, which find the kernels that the first one made."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of a call as a straight line over the batch; NaN where the model fails."""

    one_s: float
    sample_s: float

    def call_s(self, batch: int) -> float:
        """Return about how long a call takes."""
        return self.one_s + self.sample_s * (batch - 1)


Speeds = Mapping[tuple[str, str], Speed]
"""By bench and model."""


def speeds_of(cases: Sequence[Case], setting: Setting) -> Speeds:
    """Time each bench and model with two small batches, uncompiled, in the first way that is among its cases.

    With more samples one takes less, above all on a GPU: for large batches it is an upper bound. NaN where the model
    fails; then measuring it says why.
    """
    first: dict[tuple[str, str], Case] = {}
    for case in cases:
        first.setdefault((case.bench, case.variant), replace(case, compile=False))
    with thread_count(setting.threads):
        return {key: _speed(case, setting) for key, case in first.items()}


def _speed(case: Case, setting: Setting) -> Speed:
    low, high = PROBE_BATCHES
    low_s, high_s = (
        call_seconds(
            partial(make_call, replace(case, batch=batch), device=setting.device, seed=setting.seed), setting.device
        )
        for batch in PROBE_BATCHES
    )
    return Speed(low_s, max(high_s - low_s, 0.0) / (high - low))


def call_seconds(make: Callable[[], Callable[[], object]], device: torch.device) -> float:
    """Return the seconds of the fastest of a few calls after a first one, NaN when it fails."""
    seconds: list[float] = []
    try:
        call = make()
        for _ in range(PROBE_CALLS):
            start = time.perf_counter()
            call()
            synchronize(device)
            seconds.append(time.perf_counter() - start)
    except (MemoryError, RuntimeError):
        return NAN
    finally:
        free_memory(device)
    return min(seconds[1:])


def predicted_seconds(case: Case, speeds: Speeds, *, rounds: int) -> float:
    """Return about how long measuring the case takes in each of so many rounds, on average."""
    call_s = speeds[case.bench, case.variant].call_s(case.batch)
    compile_s = (COMPILE_S + COMPILED_S * (rounds - 1)) / rounds if case.compile else 0.0
    return compile_s + max(LEAST_S, CALLS * call_s if call_s == call_s else 0.0)


def affordable(cases: Sequence[Case], seconds_of: Callable[[Case], float], *, seconds: float) -> list[Case]:
    """Return those cases that fit in the time, the earlier first; one that does not fit leaves room to later ones."""
    chosen: list[Case] = []
    for case in cases:
        needed = seconds_of(case)
        if needed <= seconds:
            seconds -= needed
            chosen.append(case)
    return chosen


def seconds_for_timing(setting: Setting, *, spent_s: float) -> float:
    """Return what of the group's time is for timing: on CUDA a part of it goes to energy, but not at level quick."""
    metered = setting.device.type == "cuda" and setting.level != "quick"
    return setting.seconds * (1 - ENERGY_SHARE if metered else 1.0) - spent_s
