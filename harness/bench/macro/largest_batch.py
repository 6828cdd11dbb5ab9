"""The largest batch of a reference model that fits: tried out on CUDA, predicted on a CPU.

There a batch that is too large would drive the machine into swap, so that a line through two smaller ones has to do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from harness.bench.macro.largest import WARM_CALLS, Found, fits_by_trying, largest
from harness.bench.macro.models import references
from harness.bench.macro.step import make_call
from harness.bench.rows import Case, Row
from harness.bench.workload import Setting
from harness.errors import described
from harness.measure import ResidentPeak, free_memory, only_new_garbage
from harness.measure.resident import rss_mib
from harness.plan.running import thread_count
from harness.records import MIB, memory_mib

CAP = 2**20
"""Largest batch that is looked for."""
MAX_ELEMENTS = 2**31 - 1
"""Of one tensor: beyond, some kernels fail because their index is too short, not because of memory."""
WITHIN = 0.01
"""Share of the largest batch to which it is told: what is free changes by more."""
RESERVE_MIB = 256
"""Of a GPU's memory, for what times the work at the batch that was found."""
SHARE = 0.8
"""Of the free memory that a batch may take: the line is rough, and others need memory too."""
GROWTH_MIB = 64.0
"""Growth from the smaller to the larger batch from which the slope is more than what an allocator keeps back."""


def search(case: Case, setting: Setting, *, seconds: float) -> Row:
    """Return the row of the largest batch for a ``train_step`` or ``inference``, whose own batch does not matter.

    ``facts`` has it as ``batch``, beside ``tries`` and, where one was found, ``too_large``, the least batch known not
    to fit. Its ``stop_reason`` is ``precise``, ``cap`` or ``time``.
    """
    row = Row(case=replace(case, bench="largest_batch", variant=f"{case.variant} {case.bench}", batch=0))
    cap = min(CAP, MAX_ELEMENTS // references[case.variant].widest)
    find, note = (
        (_predicted, f"predicted from two batches for {SHARE:.0%} of the free memory")
        if setting.device.type == "cpu"
        else (_tried, f"with {RESERVE_MIB} MiB left free")
    )
    try:
        with thread_count(setting.threads), only_new_garbage():
            found = find(case, setting, cap, seconds)
    except RuntimeError as error:  # not of memory, and the group's other models may do better
        return replace(row, status="failed", note=described(error))
    if found is None or (found.batch == 0 and found.stop_reason == "time"):
        return replace(row, status="skipped", note=f"no time at this level: it takes more than {seconds:.1f} s")
    if found.batch == 0:
        return replace(row, status="oom", note="not even one sample fits")
    facts = {"batch": float(found.batch), "tries": float(found.tries)}
    if found.too_large is not None:
        facts["too_large"] = float(found.too_large)
    return replace(row, stop_reason=found.stop_reason, facts=facts, note=note)


def _tried(case: Case, setting: Setting, cap: int, seconds: float) -> Found | None:
    free_memory(setting.device)
    reserve = torch.empty(RESERVE_MIB * MIB, dtype=torch.uint8, device=setting.device)
    found = largest(fits_by_trying(_maker(case, setting), setting.device), cap=cap, within=WITHIN, seconds=seconds)
    del reserve
    free_memory(setting.device)
    return found


def _predicted(case: Case, setting: Setting, cap: int, seconds: float) -> Found | None:
    make = _maker(case, setting)

    def peak_mib(batch: int) -> float:
        peak = peak_rss_mib(lambda: make(batch))
        free_memory(setting.device)
        return peak

    room = room_mib(setting.memory_mib)
    start = time.monotonic()
    line = memory_line(peak_mib, cap=cap, room_mib=room, seconds=seconds)
    if line is None:
        return None
    left_s = seconds - (time.monotonic() - start)
    return largest(lambda batch: line.peak(batch) <= room, cap=cap, within=WITHIN, seconds=max(left_s, 1.0))


def _maker(case: Case, setting: Setting) -> Callable[[int], Callable[[], object]]:
    return lambda batch: make_call(replace(case, batch=batch), device=setting.device, seed=setting.seed)


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """Peak memory of the process as a straight line through two batches, of which ``batch`` is the larger."""

    batch: int
    peak_mib: float
    mib_per_sample: float

    def peak(self, batch: int) -> float:
        """Return the predicted peak in MiB."""
        return self.peak_mib + self.mib_per_sample * (batch - self.batch)


def memory_line(
    peak_mib: Callable[[int], float],
    *,
    cap: int,
    room_mib: float,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> MemoryLine | None:
    """Return the line through two batches: one of 4, 16, 64, ..., and its double.

    The first is the least whose peak is GROWTH_MIB above that of batch 1: it has outgrown what the allocator kept back
    of earlier work. Up to there new tensors take no new memory, and a line through batch 1 would be too flat. A
    sixteenth of the way to ``room_mib`` will do as well, so that the double fits too. The line ends, flat, at ``cap``,
    if that is reached first. None when ``seconds`` end before.
    """
    deadline = clock() + seconds
    peak_mib(1)  # loads what stays loaded
    lowest_mib = peak_mib(1)
    enough_mib = min(GROWTH_MIB, (room_mib - lowest_mib) / 16)
    batch, reached_mib = 1, lowest_mib
    while batch < cap and reached_mib - lowest_mib < enough_mib:
        if clock() >= deadline:
            return None
        batch = min(4 * batch, cap)
        reached_mib = peak_mib(batch)
    double = min(2 * batch, cap)
    if double == batch:
        return MemoryLine(batch, reached_mib, 0.0)
    peak = peak_mib(double)
    return MemoryLine(double, peak, max(peak - reached_mib, 0.0) / (double - batch))


def peak_rss_mib(make: Callable[[], Callable[[], object]]) -> float:
    """Make the work, call it, and return the largest resident memory of this process meanwhile, in MiB.

    Where the system keeps no account of it, what is resident at the end.
    """
    with ResidentPeak() as peak:
        work = make()
        for _ in range(WARM_CALLS):
            work()
        at_end_mib = rss_mib()
    return max(at_end_mib, memory_mib(peak.figures.values))


def room_mib(free_mib: float) -> float:
    """Return what this process may grow to: what it has, and SHARE of what is free."""
    return rss_mib() + SHARE * free_mib
