"""Random data, and which number formats a device is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from harness.bench.rows import Case, Row
from harness.bench.workload import Setting, Workload
from harness.hardware import native_precisions

FLOATS: Mapping[str, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""The torch type that a format's numbers are stored in."""


def normal(*shape: int, dtype: torch.dtype, setting: Setting, seed: int = 0) -> Tensor:
    """Return numbers of the standard normal distribution on the setting's device; ``seed`` tells tensors apart."""
    generator = torch.Generator(setting.device).manual_seed(setting.seed + seed)
    return torch.randn(*shape, generator=generator, device=setting.device).to(dtype)


def traffic(dtype: str, *elements: int) -> float:
    """Return the bytes of so many numbers of a format.

    What an operation must move, whatever its kernel does: inputs and weights read once, the result written once. It is
    what a roofline counts; a kernel that keeps intermediate results in memory moves more.
    """
    return float(FLOATS[dtype].itemsize * sum(elements))


def case_of(bench: str, dtype: str, setting: Setting, *, shape: str, batch: int = 0, layout: str = "") -> Case:
    """Return the case of an operation in a number format on all of torch's threads."""
    tf32 = dtype == "tf32"
    return Case(bench=bench, shape=shape, batch=batch, dtype=dtype, tf32=tf32, layout=layout, threads=setting.threads)


def floats(setting: Setting, case: Case) -> tuple[list[str], list[Row]]:
    """Return the floating formats that are native to the device, and a skipped row of ``case`` for each other one."""
    native = native_precisions(setting.device)
    named = [name for name in FLOATS if native.get(name) == ""]
    others = [name for name in FLOATS if native.get(name)]
    return named, [skipped(replace(case, dtype=name, tf32=name == "tf32"), native[name]) for name in others]


def in_every_format(setting: Setting, of: Callable[[str], Workload]) -> Iterator[Workload | Row]:
    """Yield an operation in each floating format that is native to the device, after a skipped row for each other."""
    native, others = floats(setting, of("fp32").case)
    yield from others
    yield from map(of, native)


def skipped(case: Case, reason: str) -> Row:
    """Return the row of a case that is not measured."""
    return Row(case=case, status="skipped", note=reason)
