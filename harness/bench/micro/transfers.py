"""Copies from the host's memory to the device's, pinned and not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from harness.bench.micro.memory import size_text
from harness.bench.rows import Case, Row, skipped
from harness.bench.workload import Setting, Workload, groups
from harness.records import MIB

SIZES = (MIB, 256 * MIB)
"""The small one shows what a batch takes, the large one the bus."""
VARIANTS = ("pageable", "pinned")


@groups.register("host_to_device")
def host_to_device(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the copies; on a CPU there are none."""
    for size in SIZES:
        for variant in VARIANTS:
            workload = transfer(variant, size, setting)
            if setting.device.type == "cuda":
                yield workload
            else:
                yield skipped(workload.case, f"{setting.device.type} computes in the host's own memory")


def transfer(variant: str, size_bytes: int, setting: Setting) -> Workload:
    """Return the copy of so many bytes."""
    return Workload(
        case=Case(bench="host_to_device", variant=variant, shape=size_text(size_bytes), threads=setting.threads),
        prepare=partial(_prepare, variant == "pinned", size_bytes // 4, setting),
        bytes_moved=float(size_bytes),
        flush=False,
    )


def _prepare(pinned: bool, elements: int, setting: Setting) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(setting.seed)
    source_N = torch.randn(elements, generator=generator)
    source_N = source_N.pin_memory() if pinned else source_N
    there_N = torch.empty(elements, device=setting.device)
    return lambda: there_N.copy_(source_N, non_blocking=pinned)
