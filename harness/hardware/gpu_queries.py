"""What a GPU is asked at every sample, and the ways to ask it.

The binding of NVML comes in as a parameter: :mod:`harness.hardware.nvml` is its one door. Costs on real GPUs, as others
measured them: an instantaneous power 3 us, an average one by its field 3 ms, the counters of PCIe traffic 0.2 to
0.4 ms.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.hardware.pcie import FASTEST_BYTES_S, PcieTraffic, link_bytes_s
from harness.records import MIB, NAN


@dataclass(frozen=True)
class Asker:
    """Whom a GPU answers."""

    pids: Collection[int]
    """The processes whose memory is asked for."""
    traffic: PcieTraffic


Call = Callable[[Any, Asker], tuple[float, ...]]
"""Asks a handle; raises what NVML says against it."""


@dataclass(frozen=True)
class Query:
    """One question to a GPU, and the telemetry that its answer holds."""

    names: tuple[str, ...]
    calls: tuple[Call, ...]
    """Ways to ask, best first: where one is refused for good, the next is tried."""
    silent: str = ""
    """Why an answer may hold NaN for the moment."""
    lacking: str = ""
    """Why the answers of all ways but the first hold NaN."""


class Queries:
    """The questions, put to a binding of NVML."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def all(self) -> tuple[Query, ...]:
        """Return every question, each name of its telemetry in one of them."""
        nvml, ask = self._nvml, _ask
        sensor = nvml.NVML_TEMPERATURE_GPU
        lists = (nvml.nvmlDeviceGetComputeRunningProcesses_v3, nvml.nvmlDeviceGetComputeRunningProcesses_v2)
        processes = tuple(partial(_process_memory, each) for each in lists)
        return (
            Query(("gpu_utilization_percent", "memory_utilization_percent"), (self._utilization,)),
            Query(
                ("memory_device_mib", "memory_reserved_mib"), (self._memory, self._memory_together), lacking=_TOGETHER
            ),
            Query(("memory_process_mib",), processes, silent=_NO_PROCESS),
            Query(("sm_clock_mhz",), (ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),)),
            Query(("memory_clock_mhz",), (ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),)),
            Query(
                ("power_w",),
                (ask(nvml.nvmlDeviceGetPowerUsage, unit=1e3), self._field(nvml.NVML_FI_DEV_POWER_AVERAGE, unit=1e3)),
            ),
            Query(("power_instant_w",), (self._field(nvml.NVML_FI_DEV_POWER_INSTANT, unit=1e3),)),
            Query(("energy_counter_j",), (ask(nvml.nvmlDeviceGetTotalEnergyConsumption, unit=1e3),)),
            Query(
                ("temperature_c",),
                (ask(nvml.nvmlDeviceGetTemperatureV, sensor), ask(nvml.nvmlDeviceGetTemperature, sensor)),
            ),
            Query(
                ("throttle_reasons",),
                (
                    ask(nvml.nvmlDeviceGetCurrentClocksEventReasons),
                    ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons),
                ),
            ),
            Query(("pcie_rx_mb_s", "pcie_tx_mb_s"), (self._counted, self._measured), silent=_NO_TRAFFIC),
        )

    def _utilization(self, handle: Any, _: Asker) -> tuple[float, ...]:
        rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
        return float(rates.gpu), float(rates.memory)

    def _memory(self, handle: Any, _: Asker) -> tuple[float, ...]:
        """Return what programs use, as nvidia-smi does, and what the driver keeps for itself."""
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle, version=self._nvml.nvmlMemory_v2)
        return memory.used / MIB, memory.reserved / MIB

    def _memory_together(self, handle: Any, _: Asker) -> tuple[float, ...]:
        return self._nvml.nvmlDeviceGetMemoryInfo(handle).used / MIB, NAN

    def _field(self, field: int, *, unit: float) -> Call:
        return lambda handle, _: (self._field_values(handle, field)[0][0] / unit,)

    def _counted(self, handle: Any, asker: Asker) -> tuple[float, ...]:
        """Return the rates since the last reading; counters that begin anew too soon are helped out by measuring."""
        nvml, traffic = self._nvml, asker.traffic
        if math.isnan(traffic.fastest_bytes_s):
            traffic.fastest_bytes_s = self._fastest_bytes_s(handle)
        fields = (nvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES, nvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES)
        (rx, wraps_at), (tx, _) = self._field_values(handle, *fields)
        rates = traffic.rates_mb_s(time.monotonic(), (int(rx), int(tx)), wraps_at)
        if rates is None:
            try:
                return self._measured(handle, asker)
            except nvml.NVMLError:  # says nothing against the counters, which have something to tell next time
                return NAN, NAN
        return rates

    def _measured(self, handle: Any, asker: Asker) -> tuple[float, ...]:
        """Return NVML's own measurement where it is due; its unit is 10^3 bytes per second."""
        if not asker.traffic.due(time.monotonic()):
            return NAN, NAN
        nvml = self._nvml
        kinds = (nvml.NVML_PCIE_UTIL_RX_BYTES, nvml.NVML_PCIE_UTIL_TX_BYTES)
        return tuple(nvml.nvmlDeviceGetPcieThroughput(handle, kind) / 1e3 for kind in kinds)

    def _fastest_bytes_s(self, handle: Any) -> float:
        nvml = self._nvml
        try:
            return link_bytes_s(
                nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle), nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)
            )
        except nvml.NVMLError:
            return FASTEST_BYTES_S

    def _field_values(self, handle: Any, *fields: int) -> list[tuple[float, int]]:
        """Return each field with the number at which its type begins anew; raise the error that one comes with."""
        return [self._field_value(answer) for answer in self._nvml.nvmlDeviceGetFieldValues(handle, fields)]

    def _field_value(self, answer: Any) -> tuple[float, int]:
        nvml, member = self._nvml, _MEMBERS.get(answer.valueType)
        if answer.nvmlReturn != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(answer.nvmlReturn)
        if member is None:
            raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
        return getattr(answer.value, member), 2**32 if member == "uiVal" else 2**64


_NO_PROCESS = "NVML lists no memory for this process: it has not used the GPU yet, or a container hides its PID"
_TOGETHER = "this driver is too old to report reserved memory apart from used memory"
_NO_TRAFFIC = (
    "available from the second reading on, and at most once a second where NVML has no persistent counter of bytes"
)
_MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
"""The member of NVML's union that holds a value, by ``nvmlValueType_t``."""


def _process_memory(listing: Callable[[Any], Any], handle: Any, asker: Asker) -> tuple[float, ...]:
    listed = [each.usedGpuMemory for each in listing(handle) if each.pid in asker.pids]
    used = [each for each in listed if each is not None]
    return (sum(used) / MIB if used else NAN,)


def _ask(function: Callable[..., Any], *args: Any, unit: float = 1.0) -> Call:
    return lambda handle, _: (function(handle, *args) / unit,)
