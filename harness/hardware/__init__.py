"""The machine in front of you: what it is, which device to use, and meters that read it while it works.

Importing this package loads neither torch nor numpy nor pandas; the names that need them load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.hardware.cgroup import free_host_mib, oom_kills, read_limits
from harness.hardware.child import die_with
from harness.hardware.cpu import usable_cores
from harness.hardware.gpu_info import throttle_names
from harness.hardware.heap import freed_memory_kept, trim
from harness.hardware.machine import Cpu, GpuInfo, Machine, Memory, TorchDevice, TorchInfo
from harness.hardware.meters import Watched
from harness.hardware.names import check_device_name
from harness.hardware.nvml import GPU_TELEMETRY, Gpu, Nvml, open_nvml
from harness.hardware.platforms import not_measured_here
from harness.hardware.pressure import Stall, read_stall, stalled_percent
from harness.hardware.probe import probe
from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.hardware.devices import choose_device, free_mib, meters_for, native_precisions, synchronize
    from harness.hardware.precisions import Precision, describe_precisions
    from harness.hardware.sampler import Sampler

__all__ = [
    "GPU_TELEMETRY",
    "Cpu",
    "Gpu",
    "GpuInfo",
    "Machine",
    "Memory",
    "Nvml",
    "Precision",
    "Sampler",
    "Stall",
    "TorchDevice",
    "TorchInfo",
    "Watched",
    "check_device_name",
    "choose_device",
    "describe_precisions",
    "die_with",
    "free_host_mib",
    "free_mib",
    "freed_memory_kept",
    "meters_for",
    "native_precisions",
    "not_measured_here",
    "oom_kills",
    "open_nvml",
    "probe",
    "read_limits",
    "read_stall",
    "stalled_percent",
    "synchronize",
    "throttle_names",
    "trim",
    "usable_cores",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "devices": (
            "choose_device",
            "free_mib",
            "meters_for",
            "native_precisions",
            "synchronize",
        ),
        "precisions": (
            "Precision",
            "describe_precisions",
        ),
        "sampler": ("Sampler",),
    },
)
