"""The largest batch of a reference model that fits: tried out on CUDA, predicted on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from harness.bench.macro.largest import Found, fits_by_trying, largest
from harness.bench.macro.memory import SHARE, memory_line, peak_rss_mib, room_mib
from harness.bench.macro.models import references
from harness.bench.macro.step import make_call
from harness.bench.rows import Case, Row
from harness.bench.workload import Setting
from harness.errors import described
from harness.measure import free_memory, only_new_garbage
from harness.plan.running import thread_count
from harness.records import MIB

CAP = 2**20
"""Largest batch that is looked for."""
MAX_ELEMENTS = 2**31 - 1
"""Of one tensor: beyond, some kernels fail because their index is too short, not because of memory."""
WITHIN = 0.01
"""Share of the largest batch to which it is told: what is free changes by more."""
RESERVE_MIB = 256
"""Of a GPU's memory, for what times the work at the batch that was found."""


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
