"""In which precisions a device computes with units of its own, for people to read.

What training may try is for :func:`harness.hardware.devices.native_precisions` to say: a precision can be native and
still not pay. Sources: NVIDIA's CUDA programming guide, "Compute Capabilities", for GPUs; the instruction sets by
their names in Linux for CPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from harness.hardware.cpu import read_cpu
from harness.hardware.devices import native_precisions

Support = Literal["native", "emulated", "no", "unknown"]

SHOWN = ("fp32", "tf32", "bf16", "fp16", "int8", "fp8")

_GPU: Mapping[str, tuple[tuple[tuple[int, int], Support, str], ...]] = {
    "fp32": (((0, 0), "native", "CUDA cores"),),
    "tf32": (((8, 0), "native", "tensor cores"), ((0, 0), "no", "needs compute capability 8.0")),
    "bf16": (((8, 0), "native", "tensor cores"), ((0, 0), "emulated", "native from compute capability 8.0 on")),
    "fp16": (
        ((7, 0), "native", "tensor cores"),
        ((5, 3), "native", "CUDA cores; tensor cores from compute capability 7.0 on"),
        ((0, 0), "emulated", "native from compute capability 5.3 on"),
    ),
    "int8": (
        ((7, 2), "native", "tensor cores"),
        ((6, 1), "native", "dot products of four; tensor cores from compute capability 7.2 on"),
        ((0, 0), "emulated", "native from compute capability 6.1 on"),
    ),
    "fp8": (((8, 9), "native", "tensor cores"), ((0, 0), "no", "needs compute capability 8.9")),
}
"""From which compute capability on; the first that is reached counts."""
_CPU: Mapping[str, tuple[str, ...]] = {
    "bf16": ("amx_bf16", "avx512_bf16", "bf16"),
    "fp16": ("amx_fp16", "avx512_fp16", "asimdhp"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp"),
    "fp8": (),
}
"""The instruction sets that compute in a precision."""
_MPS: Mapping[str, tuple[Support, str]] = {
    "fp32": ("native", "GPU cores"),
    "bf16": ("emulated", "native or not, by the chip and the release of macOS"),
    "fp16": ("native", "GPU cores"),
    "int8": ("no", "torch has no int8 matrix product on MPS"),
    "fp8": ("no", "torch has no fp8 on MPS"),
}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What a device makes of a precision."""

    support: Support
    """``native``: units of its own compute in it; ``emulated``: torch computes in it by way of a wider one."""
    reason: str
    training: str
    """``yes``, or why training does not try it."""


def describe_precisions(device: torch.device) -> Mapping[str, Precision]:
    """Return for every precision in SHOWN what the device makes of it."""
    native = native_precisions(device)
    unused = "training does not offer it"
    described = {}
    for name in SHOWN:
        support, reason = _support(device, name)
        described[name] = Precision(support=support, reason=reason, training=native.get(name, unused) or "yes")
    return described


def _support(device: torch.device, name: str) -> tuple[Support, str]:
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return next((support, reason) for least, support, reason in _GPU[name] if capability >= least)
    if name == "tf32":
        return "no", "a format of NVIDIA GPUs"
    return _MPS[name] if device.type == "mps" else _cpu_support(name)


def _cpu_support(name: str) -> tuple[Support, str]:
    isa = read_cpu().isa
    if name == "fp32":
        return "native", "vector units"
    if isa is None:
        return "unknown", "the instruction sets are not known on this system"
    present = [each for each in _CPU[name] if each in isa]
    if present:
        return "native", ", ".join(present)
    return "emulated", "this CPU has no instructions that compute in it"
