"""One workload while it is measured, from its first call to its row."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from harness.bench.rows import Row
from harness.bench.timing.clocks import Call, Clock, cache_bytes
from harness.bench.timing.conditions import Conditions, Watch
from harness.bench.timing.energy import drawn, unmeasured
from harness.bench.workload import Setting, Workload
from harness.errors import described
from harness.measure import MemoryPeak, is_out_of_memory
from harness.measure.resident import rss_mib
from harness.measure.timing import settled
from harness.plan.running import tf32_arithmetic, thread_count
from harness.records import MIB, NAN
from harness.statistics import median_interval

MIN_BLOCKS = 3
"""In a round; a suite has several rounds."""
MICRO_HALF_WIDTH, MACRO_HALF_WIDTH = 0.01, 0.02
WARM_UP_SHARE = 0.25
BLOCKS_IN_SHARE = 40
"""How many blocks the time of a workload is meant for."""
BLOCK_S = (0.002, 0.5)
"""Shortest and longest block that is aimed at."""
MAX_CALLS = 300
"""In a block: with two events and a flush each, what CUDA queues without waiting."""
LEAST_SPAN = 0.5
"""Of its time, what a workload's blocks spread over before they may be precise enough: three in a row know nothing of
slow spells that last for seconds."""
OVERTIME = 3.0
"""How many times their time workloads may take for the sake of MIN_BLOCKS."""
_OWN = frozenset({"flags", "mem_device_peak_mib", "mem_rss_peak_mib", "cpu_wall_ratio"})
"""Conditions of which each workload knows its own better: they were seen over the turns of all."""


class Used(NamedTuple):
    """Memory of this process, in MiB."""

    device: float
    """What torch has of a GPU's memory, 0 but on CUDA."""
    host: float
    """What is resident."""


def used_mib(device: torch.device) -> Used:
    """Return what this process has of memory now."""
    return Used(torch.cuda.memory_reserved(device) / MIB if device.type == "cuda" else 0.0, rss_mib())


@dataclass(frozen=True, slots=True)
class Stage:
    """What the workloads of a group have in common."""

    setting: Setting
    clock: Clock
    watch: Watch
    start: Used
    """Memory that was in use before the first of them."""


class Timed:
    """Times one workload. What goes wrong ends this one alone."""

    def __init__(self, workload: Workload, stage: Stage) -> None:
        self.workload = workload
        self.status = "ok"
        self.stop_reason = ""
        self.blocks: list[float] = []
        self.block_s = 0.0
        """Wall time that a block is expected to take, known after the warm-up."""
        self._stage = stage
        self._device = stage.setting.device
        self._call: Call = _unprepared
        self._calls = 1
        self._samples: list[float] = []
        self._wall_s, self._cpu_s = 0.0, 0.0
        self._measured = Row(case=workload.case)
        """Holds the figures that are known so far."""
        self._notes = [workload.note] if workload.note else []

    @property
    def active(self) -> bool:
        """Whether there are more blocks to be timed."""
        return self.status == "ok" and not self.stop_reason

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step in the arithmetic and on the threads of the case; an error ends the work and frees its data."""
        case, setting = self.workload.case, self._stage.setting
        try:
            arithmetic = tf32_arithmetic(self._device, "tf32" if case.tf32 else "fp32")
            with arithmetic, thread_count(case.threads or setting.threads):
                step()
        except Exception as error:  # noqa: BLE001 - a workload may fail in any way, and the group goes on
            self.status = "oom" if is_out_of_memory(error) else "failed"
            self._notes.append(described(error))
        if self.status != "ok":  # only now is the traceback gone, and with it what its frames held
            self.free()

    def warm_up(self, share_s: float) -> None:
        """Make the data and call until the times settle, for at most a quarter of ``share_s`` after the first calls."""
        others, watch = used_mib(self._device), self._stage.watch
        before_mib = torch.cuda.memory_allocated(self._device) / MIB if self._device.type == "cuda" else 0.0
        mark = watch.begin()
        with MemoryPeak(self._device) as peak:
            self._call = self.workload.prepare()
            first_s = self._timed_call()
            self._calls = self._calls_in_a_block(share_s)
            calm = self._settle(time.perf_counter() + WARM_UP_SHARE * share_s)
        if not calm:
            self._notes.append("the warm-up did not settle within its time")
        seen, start = watch.end(mark), self._stage.start
        self._measured = replace(
            self._measured,
            case=replace(
                self.workload.case,
                tf32=self.workload.case.tf32 or self._rounds_to_tf32(),
                threads=torch.get_num_threads() if self.workload.case.threads else 0,
            ),
            compile_s=first_s if self.workload.case.compile else NAN,
            mem_allocated_peak_mib=peak.figures.values["memory_allocated_peak_mib"] - before_mib,
            mem_device_peak_mib=seen.mem_device_peak_mib - (others.device - start.device),
            mem_rss_peak_mib=seen.mem_rss_peak_mib - (others.host - start.host),
        )

    def time_block(self) -> None:
        """Time one block."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        seconds = self._block(self._calls)
        self._wall_s += time.perf_counter() - wall_s
        self._cpu_s += time.process_time() - cpu_s
        self._samples += seconds
        self.blocks.append(median(seconds))

    def progress(self, share_s: float) -> float:
        """Return how far it is with its share of the time and with its least number of blocks, from 0 to 1 and more."""
        in_time = self._wall_s / share_s if share_s > 0 else 1.0
        return min(in_time, len(self.blocks) / MIN_BLOCKS)

    def judge(self, progress: float, spent: float) -> None:
        """Set ``stop_reason`` when it is enough; ``spent`` is the time that all took as a share of the time given."""
        if not self.active:
            return
        if len(self.blocks) < MIN_BLOCKS:
            if spent >= OVERTIME:
                self.stop_reason = f"overtime after {len(self.blocks)} of {MIN_BLOCKS} blocks"
            return
        target = MACRO_HALF_WIDTH if self.workload.macro else MICRO_HALF_WIDTH
        ended = progress >= 1 or spent >= 1
        if (ended or progress >= LEAST_SPAN) and median_interval(self.blocks).half_width <= target:
            self.stop_reason = "precise"
        elif ended:
            self.stop_reason = "cap"

    def no_energy(self, reason: str) -> None:
        """Say why there is no energy."""
        self._measured = replace(self._measured, **unmeasured(reason))

    def measure_energy(self) -> None:
        """Measure the energy of a call; whatever goes wrong, the times stay."""
        samples, watch = self.workload.samples, self._stage.watch
        try:
            found = drawn(self._call, self._calls, samples=samples, device=self._device, watch=watch)
        except Exception as error:  # noqa: BLE001 - as in attempt
            found = unmeasured(described(error))
        self._measured = replace(self._measured, **found)

    def free(self) -> None:
        """Let go of the data; :func:`harness.measure.free_memory` gives its memory back."""
        self._call = _unprepared

    def row(self, conditions: Conditions) -> Row:
        """Return what was measured, and under which conditions."""
        workload, row = self.workload, self._measured
        seen = {each.name: getattr(conditions, each.name) for each in fields(conditions) if each.name not in _OWN}
        row = replace(
            row,
            status=self.status,
            flops=workload.flops,
            flops_source=workload.flops_source,
            bytes_moved=workload.bytes_moved,
            cpu_wall_ratio=self._cpu_s / self._wall_s if self._wall_s else NAN,
            **seen,
        )
        if self.status == "ok":
            row = self._with_times(row)
        return replace(row, note="; ".join([*self._notes, *conditions.flags, *self._flags(row)]))

    def _with_times(self, row: Row) -> Row:
        middle, low, high = median_interval(self.blocks)
        first, third = np.quantile(self._samples, (0.25, 0.75))
        return replace(
            row,
            n_blocks=len(self.blocks),
            n_samples=len(self._samples),
            stop_reason=self.stop_reason,
            t_median_s=middle,
            t_ci_lo=low,
            t_ci_hi=high,
            t_min=min(self._samples),
            t_iqr=float(third - first),
            samples_s=self.workload.samples / middle if self.workload.samples else NAN,
            tflops=row.flops / middle * 1e-12,
            gbps=row.bytes_moved / middle * 1e-9,
            blocks_s=tuple(self.blocks),
        )

    def _flags(self, row: Row) -> list[str]:
        device = torch.device("cpu") if self.workload.host else self._device
        cuda = device.type == "cuda"
        flags = ["TF32 on"] if cuda and row.case.tf32 and row.case.dtype == "fp32" else []
        if not self.workload.macro and row.bytes_moved <= cache_bytes(device):
            flags.append("fits in L2" if cuda else "fits in the last-level cache")
        return flags

    def _rounds_to_tf32(self) -> bool:
        """Tell whether someone let fp32 products be rounded, whatever the case says."""
        if self._device.type != "cuda" or self.workload.case.dtype != "fp32":
            return False
        return torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32

    def _calls_in_a_block(self, share_s: float) -> int:
        shortest, longest = BLOCK_S
        block_s = min(max(share_s / BLOCKS_IN_SHARE, shortest), longest)
        call_s = self._timed_call()
        calls = min(max(1, round(block_s / call_s)), MAX_CALLS)
        self.block_s = calls * call_s
        return calls

    def _settle(self, end_s: float) -> bool:
        """Call until three block medians agree, or until a time; return whether they do."""
        medians: list[float] = []
        while time.perf_counter() < end_s:
            medians.append(median(self._block(self._calls)))
            if settled(medians):
                return True
        return False

    def _block(self, calls: int) -> list[float]:
        cold = self.workload.flush and not self.workload.macro
        return self._stage.clock.block(self._call, calls, cold=cold)

    def _timed_call(self) -> float:
        """Return the wall time of one call with all that belongs to it."""
        start = time.perf_counter()
        self._block(1)
        return max(time.perf_counter() - start, 1e-9)


def _unprepared() -> object:
    raise AssertionError("called before warm_up, or after free")
