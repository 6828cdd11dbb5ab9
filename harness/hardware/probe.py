"""What this machine is."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil

from harness.hardware.cgroup import free_host_mib, read_limits
from harness.hardware.cpu import read_cpu
from harness.hardware.machine import Machine, Memory, TorchInfo
from harness.hardware.nvml import open_nvml
from harness.records import MIB


def probe(*, torch: bool = False, root: Path = Path("/")) -> Machine:
    """Return what this machine is; what cannot be told is None or NaN.

    ``torch`` adds what torch sees, and imports it (a second or more); ``root`` stands for the top of the file system.
    """
    nvml = open_nvml()
    return Machine(
        host_name=platform.node(),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cpu=read_cpu(root),
        memory=_read_memory(root),
        gpus=tuple(gpu.describe() for gpu in nvml.gpus),
        gpu_reason=nvml.reason,
        driver_version=nvml.driver_version,
        cuda_driver_version=nvml.cuda_version,
        torch=_read_torch() if torch else None,
    )


def _read_memory(root: Path) -> Memory:
    return Memory(
        total_mib=psutil.virtual_memory().total / MIB,
        available_mib=free_host_mib(root),
        limit_mib=read_limits(root).memory_mib,
    )


def _read_torch() -> TorchInfo:
    from harness.hardware.devices import describe_torch  # imports torch

    return describe_torch()
