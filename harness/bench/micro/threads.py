"""How a matrix product on the CPU gains from more threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from harness.bench.micro.matmul import product
from harness.bench.rows import Row
from harness.bench.workload import Setting, Workload, groups

SIZE = 1024


@groups.register("threads")
def threads(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the fp32 product of 1024 x 1024 matrices on 1, 2, 4 and so on up to all threads, in turns."""
    host = replace(setting, device=torch.device("cpu"))
    for count in thread_counts(setting.threads):
        workload = product((SIZE,) * 3, "fp32", host)
        case = replace(workload.case, bench="threads", variant=f"threads={count}", threads=count)
        yield replace(workload, case=case, flush=False, host=True)


def thread_counts(most: int) -> list[int]:
    """Return the powers of two below ``most``, and ``most``."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]
