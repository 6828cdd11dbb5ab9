"""A stand-in for nvidia-smi: answers ``--query-gpu=a,b --format=csv,noheader,nounits`` out of the stub of NVML.

It asks pynvml itself, so that what the program reads is held against other code. NVIDIA_SMI_SAYS=field=value,...
changes what it says.
"""

from __future__ import annotations

import os
import sys

import pynvml

MIB = 2**20


def _limit_w(gpu: object) -> float:
    return pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3


ANSWERS = {
    "uuid": pynvml.nvmlDeviceGetUUID,
    "name": pynvml.nvmlDeviceGetName,
    "driver_version": lambda _: pynvml.nvmlSystemGetDriverVersion(),
    "memory.total": lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).total // MIB,
    "memory.used": lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu, version=pynvml.nvmlMemory_v2).used // MIB,
    "power.draw": lambda gpu: f"{pynvml.nvmlDeviceGetPowerUsage(gpu) / 1e3:.2f}",
    "enforced.power.limit": lambda gpu: f"{_limit_w(gpu):.2f}",
    "clocks.sm": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    "clocks.mem": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
    "clocks.max.sm": lambda gpu: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    "utilization.gpu": lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "utilization.memory": lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).memory,
    "temperature.gpu": lambda gpu: pynvml.nvmlDeviceGetTemperatureV(gpu, pynvml.NVML_TEMPERATURE_GPU),
    "pcie.link.width.max": pynvml.nvmlDeviceGetMaxPcieLinkWidth,
}


def main() -> None:
    """Answer."""
    query, form = sys.argv[1:]
    assert form == "--format=csv,noheader,nounits"
    changed = dict(each.split("=") for each in os.environ.get("NVIDIA_SMI_SAYS", "").split(",") if each)
    pynvml.nvmlInit()
    for index in range(pynvml.nvmlDeviceGetCount()):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        fields = query.removeprefix("--query-gpu=").split(",")
        print(", ".join(str(changed.get(field) or ANSWERS[field](gpu)) for field in fields))
    pynvml.nvmlShutdown()


if __name__ == "__main__":
    main()
