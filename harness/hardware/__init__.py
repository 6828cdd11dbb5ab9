"""The machine in front of you: what it is, which device to use, and meters that read it while it works.

Importing this package loads neither torch nor numpy nor pandas; the names that need them load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.hardware.cpu import usable_cores
from harness.hardware.machine import Cpu, GpuInfo, Machine, Memory, TorchDevice, TorchInfo
from harness.hardware.meters import AbsentMeter, GpuMeter, HostMeter, Meter
from harness.hardware.nvml import GPU_TELEMETRY, Gpu, Nvml, open_nvml
from harness.hardware.probe import probe

if TYPE_CHECKING:
    from harness.hardware.devices import choose_device, meters_for, native_precisions
    from harness.hardware.replay import ReplayMeter
    from harness.hardware.sampler import Sampler

__all__ = [
    "GPU_TELEMETRY",
    "AbsentMeter",
    "Cpu",
    "Gpu",
    "GpuInfo",
    "GpuMeter",
    "HostMeter",
    "Machine",
    "Memory",
    "Meter",
    "Nvml",
    "ReplayMeter",
    "Sampler",
    "TorchDevice",
    "TorchInfo",
    "choose_device",
    "meters_for",
    "native_precisions",
    "open_nvml",
    "probe",
    "usable_cores",
]

_LAZY = {
    "ReplayMeter": "replay",
    "Sampler": "sampler",
    "choose_device": "devices",
    "meters_for": "devices",
    "native_precisions": "devices",
}
"""Where the names live whose modules import torch, numpy or pandas."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
