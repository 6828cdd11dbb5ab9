"""The machine in front of you: what it is, which device to use, and meters that read it while it works.

Importing this package loads neither torch nor numpy nor pandas; the names that need them load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.hardware.cpu import usable_cores
from harness.hardware.machine import Cpu, GpuInfo, Machine, Memory, TorchDevice, TorchInfo
from harness.hardware.meters import AbsentMeter, GpuMeter, HostMeter, Meter
from harness.hardware.nvml import GPU_TELEMETRY, Gpu, Nvml, open_nvml
from harness.hardware.oom import oom_kills
from harness.hardware.probe import probe
from harness.lazy import lazy_names

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
    "oom_kills",
    "open_nvml",
    "probe",
    "usable_cores",
]

__getattr__ = lazy_names(
    __name__,
    {
        "devices": (
            "choose_device",
            "meters_for",
            "native_precisions",
        ),
        "replay": ("ReplayMeter",),
        "sampler": ("Sampler",),
    },
)
