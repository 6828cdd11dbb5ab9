"""What a GPU is and how it is set, asked once.

The binding of NVML comes in as a parameter: :mod:`harness.hardware.nvml` is its one door.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from harness.hardware.machine import GpuInfo, hash_uuid
from harness.records import MIB, NAN, Figures

T = TypeVar("T")

THROTTLE_REASONS = {
    0x001: "gpu idle",
    0x002: "applications clocks setting",
    0x004: "software power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
    0x100: "display clock setting",
}
"""NVML's ``nvmlClocksEventReasons`` by bit, https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html."""

_HIDDEN = "NVML lists none; a container hides processes outside of it"
_NO_SIZE = "NVML does not report the memory of every process"
_FIRST_NAMESPACE = "pid:[4026531836]"
"""Linux gives this number to the namespace of process numbers that every other one is inside of."""


class Interview:
    """Asks one GPU one thing after the other, and notes what it tells and why it does not tell the rest."""

    def __init__(self, nvml: Any, handle: Callable[[], Any]) -> None:
        self._nvml = nvml
        self._handle = handle
        self._answers: dict[str, str] = {}

    def describe(self, index: int, name: str, uuid: str, figures: Figures, capabilities: Mapping[str, str]) -> GpuInfo:
        """Return the record of the GPU whose telemetry now is ``figures``."""
        nvml, values = self._nvml, figures.values
        others, others_mib = self._other_processes()
        info = GpuInfo(
            index=index,
            name=name,
            uuid=uuid,
            uuid_hash=hash_uuid(uuid),
            instance=uuid.startswith("MIG-"),
            compute_capability=self._ask("compute_capability", self._compute_capability, None),
            memory_total_mib=self._number(
                "memory_total_mib", lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total, unit=MIB
            ),
            memory_used_mib=values["memory_device_mib"],
            memory_reserved_mib=values["memory_reserved_mib"],
            sm_clock_mhz=values["sm_clock_mhz"],
            sm_clock_max_mhz=self._number("sm_clock_max_mhz", nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
            memory_clock_mhz=values["memory_clock_mhz"],
            memory_clock_max_mhz=self._number(
                "memory_clock_max_mhz", nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_MEM
            ),
            power_w=values["power_w"],
            temperature_c=values["temperature_c"],
            other_processes=others,
            other_processes_mib=others_mib,
            throttle_reasons=throttle_names(values["throttle_reasons"]),
            capabilities={},
            **self._power_limits(),
            **self._link(),
            **self._modes(),
        )
        telemetry = {name: why or "yes" for name, why in capabilities.items()}
        self._answers["memory_used_mib"] = telemetry["memory_device_mib"]
        return replace(info, capabilities=telemetry | self._answers)

    def _power_limits(self) -> dict[str, Any]:
        nvml = self._nvml
        asked = {
            "power_limit_w": nvml.nvmlDeviceGetEnforcedPowerLimit,
            "power_limit_default_w": nvml.nvmlDeviceGetPowerManagementDefaultLimit,
            "power_limit_max_w": lambda gpu: nvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu)[1],
        }
        return {name: self._number(name, function, unit=1e3) for name, function in asked.items()}

    def _link(self) -> dict[str, Any]:
        nvml = self._nvml
        asked = {
            "pcie_generation": nvml.nvmlDeviceGetCurrPcieLinkGeneration,
            "pcie_generation_max": nvml.nvmlDeviceGetMaxPcieLinkGeneration,
            "pcie_width": nvml.nvmlDeviceGetCurrPcieLinkWidth,
            "pcie_width_max": nvml.nvmlDeviceGetMaxPcieLinkWidth,
        }
        return {name: self._ask(name, function, None) for name, function in asked.items()}

    def _modes(self) -> dict[str, Any]:
        nvml = self._nvml
        return {
            "ecc": self._ask("ecc", lambda gpu: bool(nvml.nvmlDeviceGetEccMode(gpu)[0]), None),
            "mig": self._ask("mig", lambda gpu: bool(nvml.nvmlDeviceGetMigMode(gpu)[0]), None),
            "persistence": self._ask("persistence", lambda gpu: bool(nvml.nvmlDeviceGetPersistenceMode(gpu)), None),
        }

    def _ask(self, name: str, question: Callable[[Any], T], otherwise: T) -> T:
        try:
            answer = question(self._handle())
        except self._nvml.NVMLError as error:
            self._answers[name] = f"NVML: {error}"
            return otherwise
        self._answers[name] = "yes"
        return answer

    def _number(self, name: str, function: Callable[..., Any], *args: Any, unit: float = 1.0) -> float:
        return self._ask(name, lambda gpu: float(function(gpu, *args)) / unit, NAN)

    def _compute_capability(self, gpu: Any) -> tuple[int, int] | None:
        major, minor = self._nvml.nvmlDeviceGetCudaComputeCapability(gpu)
        return major, minor

    def _other_processes(self) -> tuple[int | None, float]:
        """Return how many processes beside this one are on the GPU, and their memory in MiB."""
        found = self._ask("other_processes", self._listed, None)
        if found is None:
            self._answers["other_processes_mib"] = self._answers["other_processes"]
            return None, NAN
        if not found and not sees_all_processes():
            self._answers |= dict.fromkeys(("other_processes", "other_processes_mib"), _HIDDEN)
            return None, NAN
        used_mib = sum(found.values())
        self._answers["other_processes_mib"] = _NO_SIZE if math.isnan(used_mib) else "yes"
        return len(found), used_mib

    def _listed(self, gpu: Any) -> dict[int, float] | None:
        """Return the memory of each process in MiB; one that both computes and draws is in both lists."""
        nvml = self._nvml
        listed = self._first(
            gpu, nvml.nvmlDeviceGetComputeRunningProcesses_v3, nvml.nvmlDeviceGetComputeRunningProcesses_v2
        )
        with suppress(nvml.NVMLError):  # a GPU that only computes draws nothing
            listed += self._first(
                gpu, nvml.nvmlDeviceGetGraphicsRunningProcesses_v3, nvml.nvmlDeviceGetGraphicsRunningProcesses_v2
            )
        used = {each.pid: NAN if each.usedGpuMemory is None else each.usedGpuMemory / MIB for each in listed}
        return {pid: mib for pid, mib in used.items() if pid != os.getpid()}

    def _first(self, gpu: Any, new: Callable[[Any], Any], old: Callable[[Any], Any]) -> list[Any]:
        try:
            return list(new(gpu))
        except self._nvml.NVMLError as error:
            if error.value != self._nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                raise
            return list(old(gpu))


def throttle_names(mask: float) -> tuple[str, ...] | None:
    """Return the names of the bits that are set; None for NaN."""
    if math.isnan(mask):
        return None
    bits = int(mask)
    unnamed = bits & ~sum(THROTTLE_REASONS)
    named = tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)
    return (*named, f"{unnamed:#x}") if unnamed else named


def sees_all_processes() -> bool:
    """Tell whether this process sees every process of the machine; inside a container it does not."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _FIRST_NAMESPACE
    except OSError:
        return True  # not Linux
