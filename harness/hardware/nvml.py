"""The one door to NVIDIA's management library, NVML (package ``nvidia-ml-py``, module ``pynvml``).

Nothing here raises for what a driver cannot do: no driver gives an :class:`Nvml` that is not available, with the
reason; a figure that a GPU cannot tell is NaN, with the reason. NVML is opened once per process, on first use, and
anew in a forked child. It numbers GPUs in its own order and ignores CUDA_VISIBLE_DEVICES: match them by UUID.
Reference: https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import pynvml

from harness.hardware.machine import GpuInfo, bare_uuid, hash_uuid
from harness.records import NAN, Figures

T = TypeVar("T")
Call = Callable[[Any, Collection[int]], tuple[float, ...]]
"""Asks a handle, about some processes where it matters."""

MIB = 2**20

_HINTS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "; install the NVIDIA driver, or give the container its GPUs (--gpus all)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "; see whether nvidia-smi works",
}
_TOO_OLD = {pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH}
"""The driver's library lacks the call, or this form of its arguments."""
_LASTING = {pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION, pynvml.NVML_ERROR_INVALID_ARGUMENT}
"""The answer would be the same at every sample."""
_LOST = {pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED}
"""Nothing more will be heard from this GPU."""


@dataclass(frozen=True)
class _Query:
    """One question to a GPU, and the telemetry that its answer holds."""

    names: tuple[str, ...]
    calls: tuple[Call, ...]
    """Ways to ask, newest first: where the driver is too old for one, the next is tried."""
    silent: str = ""
    """Why an answer may hold NaN."""


def _ask(function: Callable[..., Any], *args: Any, unit: float = 1.0) -> Call:
    return lambda handle, _: (function(handle, *args) / unit,)


def _utilization(handle: Any, _: Collection[int]) -> tuple[float, ...]:
    rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    return float(rates.gpu), float(rates.memory)


def _used_memory(handle: Any, _: Collection[int]) -> tuple[float, ...]:
    """Return what programs use, as nvidia-smi does: without what the driver reserves for itself."""
    return (pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used / MIB,)


def _used_and_reserved_memory(handle: Any, _: Collection[int]) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetMemoryInfo(handle).used / MIB,)


def _process_memory(handle: Any, pids: Collection[int]) -> tuple[float, ...]:
    listed = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    used = [each.usedGpuMemory for each in listed if each.pid in pids and each.usedGpuMemory is not None]
    return (sum(used) / MIB if used else NAN,)


_NO_PROCESS = "NVML lists no memory for this process: it has used no GPU yet, or a container hides its process number"
_SENSOR = pynvml.NVML_TEMPERATURE_GPU
_TEMPERATURE = _Query(
    ("temperature_c",),
    (_ask(pynvml.nvmlDeviceGetTemperatureV, _SENSOR), _ask(pynvml.nvmlDeviceGetTemperature, _SENSOR)),
)
_QUERIES = (
    _Query(("gpu_utilization_percent", "memory_utilization_percent"), (_utilization,)),
    _Query(("memory_device_mib",), (_used_memory, _used_and_reserved_memory)),
    _Query(("memory_process_mib",), (_process_memory,), silent=_NO_PROCESS),
    _Query(("sm_clock_mhz",), (_ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),)),
    _Query(("memory_clock_mhz",), (_ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM),)),
    _Query(("power_w",), (_ask(pynvml.nvmlDeviceGetPowerUsage, unit=1e3),)),
    _Query(("energy_counter_j",), (_ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, unit=1e3),)),
    _TEMPERATURE,
    _Query(
        ("throttle_reasons",),
        (
            _ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons),
            _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons),
        ),
    ),
)

GPU_TELEMETRY = tuple(name for query in _QUERIES for name in query.names)
"""What a GPU is asked at every sample: names of records.TELEMETRY."""


class Gpu:
    """One GPU, or one instance of a partitioned GPU (MIG).

    Usable in a forked child too, which opens NVML for itself and finds the GPU again by its UUID.
    """

    def __init__(self, uuid: str, index: int, name: str) -> None:
        self.uuid = uuid
        self.index = index
        self.name = name
        self._calls = {query.names: list(query.calls) for query in _QUERIES}
        self._refused: dict[tuple[str, ...], str] = {}
        self._lost = ""

    def read(self, pids: Collection[int] = ()) -> Figures:
        """Return one sample of everything in GPU_TELEMETRY; ``memory_process_mib`` is that of ``pids``.

        With no ``pids`` it is this process's own. An answer that lasts, such as "Not Supported", is remembered and not
        asked for again; any other error spoils this sample alone.
        """
        values: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for query in _QUERIES:
            answer, reason = self._answer(query, pids or (os.getpid(),))
            values.update(zip(query.names, answer, strict=True))
            unknown = [name for name, value in zip(query.names, answer, strict=True) if math.isnan(value)]
            reasons.update(dict.fromkeys(unknown, reason or query.silent))
        return Figures(values, reasons)

    def capabilities(self) -> dict[str, str]:
        """Return for every name in GPU_TELEMETRY ``""``, or the reason why this GPU cannot tell it."""
        told = {query.names: self._answer(query, (os.getpid(),))[1] for query in _QUERIES}
        return {name: reason for names, reason in told.items() for name in names}

    def describe(self) -> GpuInfo:
        """Return what the GPU is; NaN and None stand for what it does not tell."""

        def tell(function: Callable[..., Any], *args: Any, unit: float = 1.0) -> float:
            return _told(lambda: float(function(_handle(os.getpid(), self.uuid), *args)) / unit, NAN)

        return GpuInfo(
            index=self.index,
            name=self.name,
            uuid=self.uuid,
            uuid_hash=hash_uuid(self.uuid),
            memory_total_mib=tell(lambda handle: pynvml.nvmlDeviceGetMemoryInfo(handle).total, unit=MIB),
            compute_capability=_told(self._compute_capability, None),
            power_limit_w=tell(pynvml.nvmlDeviceGetEnforcedPowerLimit, unit=1e3),
            sm_clock_max_mhz=tell(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_SM),
            memory_clock_max_mhz=tell(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_MEM),
            temperature_c=self._answer(_TEMPERATURE, ())[0][0],
            capabilities=self.capabilities(),
        )

    def _compute_capability(self) -> tuple[int, int]:
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(_handle(os.getpid(), self.uuid))
        return major, minor

    def _answer(self, query: _Query, pids: Collection[int]) -> tuple[tuple[float, ...], str]:
        """Ask, and return the answer and ``""``, or NaN and the reason."""
        reason = self._lost or self._refused.get(query.names, "")
        if not reason:
            try:
                return self._newest_call(query, pids), ""
            except pynvml.NVMLError as error:
                reason = f"NVML: {error}"
                if error.value in _LOST:
                    self._lost = reason
                elif error.value in _LASTING | _TOO_OLD:
                    self._refused[query.names] = reason
        return (NAN,) * len(query.names), reason

    def _newest_call(self, query: _Query, pids: Collection[int]) -> tuple[float, ...]:
        """Ask in the newest way that this driver knows, and forget those that it does not."""
        handle, calls = _handle(os.getpid(), self.uuid), self._calls[query.names]
        while len(calls) > 1:
            try:
                return calls[0](handle, pids)
            except pynvml.NVMLError as error:
                if error.value not in _TOO_OLD:
                    raise
                calls.pop(0)
        return calls[0](handle, pids)


@dataclass(frozen=True)
class Nvml:
    """What NVML offers this process."""

    available: bool
    reason: str = ""
    """Why it is not available, or which GPUs could not be opened; empty when all is well."""
    gpus: tuple[Gpu, ...] = ()
    """In NVML's order; the instances of a partitioned GPU follow it."""
    driver_version: str | None = None
    cuda_version: str | None = None
    """The newest CUDA that the driver can run."""

    def gpu_for(self, device_uuid: str) -> Gpu | None:
        """Return the GPU with a UUID, or None.

        ``device_uuid`` may come with NVML's prefix (``GPU-``, ``MIG-``) or without, as torch writes it:
        ``str(torch.cuda.get_device_properties(device).uuid)``.
        """
        wanted = bare_uuid(device_uuid)
        return next((gpu for gpu in self.gpus if bare_uuid(gpu.uuid) == wanted), None)


def open_nvml() -> Nvml:
    """Return NVML as this process sees it, opened on the first call."""
    return _session(os.getpid())


@cache
def _session(pid: int) -> Nvml:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Nvml(available=False, reason=f"NVML: {error}{_HINTS.get(error.value, '')}")
    atexit.register(_shut_down, pid)
    gpus, lacking = [], []
    for index in range(_told(pynvml.nvmlDeviceGetCount, 0)):
        try:
            gpus += [_gpu(handle, index) for handle in _with_instances(pynvml.nvmlDeviceGetHandleByIndex(index))]
        except pynvml.NVMLError as error:
            lacking.append(f"NVML cannot open GPU {index}: {error}")
    cuda = _told(pynvml.nvmlSystemGetCudaDriverVersion_v2, 0)
    return Nvml(
        available=True,
        reason="; ".join(lacking),
        gpus=tuple(gpus),
        driver_version=_told(pynvml.nvmlSystemGetDriverVersion, None),
        cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
    )


@cache
def _handle(pid: int, uuid: str) -> Any:
    """Return the process's own handle: one from before a fork is the parent's."""
    _session(pid)
    return pynvml.nvmlDeviceGetHandleByUUID(uuid)


def _gpu(handle: Any, index: int) -> Gpu:
    return Gpu(pynvml.nvmlDeviceGetUUID(handle), index, pynvml.nvmlDeviceGetName(handle))


def _with_instances(handle: Any) -> Iterator[Any]:
    """Yield a GPU and the instances that it is partitioned into."""
    yield handle
    for index in range(_told(partial(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle), 0)):
        instance = _told(partial(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index), None)
        if instance is not None:
            yield instance


def _shut_down(pid: int) -> None:
    if os.getpid() == pid:  # a forked child inherits the exit handlers, but not what they are to close
        _told(pynvml.nvmlShutdown, None)


def _told(ask: Callable[[], T], otherwise: T) -> T:
    """Return what NVML tells, or ``otherwise`` where it cannot."""
    try:
        return ask()
    except pynvml.NVMLError:
        return otherwise
