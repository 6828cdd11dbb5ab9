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

from harness.hardware.gpu_info import Interview
from harness.hardware.gpu_queries import Asker, Queries, Query
from harness.hardware.machine import GpuInfo, bare_uuid
from harness.hardware.pcie import PcieTraffic
from harness.records import NAN, Figures

T = TypeVar("T")

_HINTS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "; install the NVIDIA driver, or give the container its GPUs (--gpus all)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "; see whether nvidia-smi works",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "; the driver was replaced while in use: restart the machine",
}
_LASTING = {
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_INVALID_ARGUMENT,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    pynvml.NVML_ERROR_DEPRECATED,
}
"""The answer would be the same at every sample; the last three say so of this way to ask."""
_LOST = {pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED, pynvml.NVML_ERROR_GPU_NOT_FOUND}
"""Nothing more will be heard from this GPU."""


_QUERIES = Queries(pynvml).all()

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
        self._traffic = PcieTraffic()

    def read(self, pids: Collection[int] = ()) -> Figures:
        """Return one sample of everything in GPU_TELEMETRY; ``memory_process_mib`` is that of ``pids``.

        With no ``pids`` it is this process's own. An answer that lasts, such as "Not Supported", is remembered and not
        asked for again; any other error spoils this sample alone. PCIe traffic is told from the second reading on.
        """
        values: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for query in _QUERIES:
            answer, reason = self._answer(query, pids or (os.getpid(),))
            values.update(zip(query.names, answer, strict=True))
            unknown = [name for name, value in zip(query.names, answer, strict=True) if math.isnan(value)]
            reasons.update(dict.fromkeys(unknown, reason or query.lacking or query.silent))
        return Figures(values, reasons)

    def capabilities(self) -> dict[str, str]:
        """Return for every name in GPU_TELEMETRY ``""``, or the reason why this GPU cannot tell it."""
        answers: dict[str, str] = {}
        for query in _QUERIES:
            answer, reason = self._answer(query, (os.getpid(),))
            for name, value in zip(query.names, answer, strict=True):
                answers[name] = reason or (query.lacking if math.isnan(value) else "")
        return answers

    def describe(self) -> GpuInfo:
        """Return what the GPU is; NaN and None stand for what it does not tell."""
        figures = self.read()
        interview = Interview(pynvml, partial(_handle, os.getpid(), self.uuid))
        return interview.describe(self.index, self.name, self.uuid, figures, self.capabilities())

    def _answer(self, query: Query, pids: Collection[int]) -> tuple[tuple[float, ...], str]:
        """Ask, and return the answer and ``""``, or NaN and the reason."""
        reason = self._lost or self._refused.get(query.names, "")
        if not reason:
            try:
                return self._best_call(query, pids), ""
            except pynvml.NVMLError as error:
                reason = f"NVML: {error}"
                if error.value in _LOST:
                    self._lost = reason
                elif error.value in _LASTING:
                    self._refused[query.names] = reason
        return (NAN,) * len(query.names), reason

    def _best_call(self, query: Query, pids: Collection[int]) -> tuple[float, ...]:
        """Ask in the best way that this GPU and its driver know, and forget those that they do not."""
        handle, calls, asker = _handle(os.getpid(), self.uuid), self._calls[query.names], Asker(pids, self._traffic)
        while len(calls) > 1:
            try:
                return calls[0](handle, asker)
            except pynvml.NVMLError as error:
                if error.value not in _LASTING:
                    raise
                calls.pop(0)
        return calls[0](handle, asker)


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
    for index in range(_answer_or(pynvml.nvmlDeviceGetCount, 0)):
        try:
            gpus += [_gpu(handle, index) for handle in _with_instances(pynvml.nvmlDeviceGetHandleByIndex(index))]
        except pynvml.NVMLError as error:
            lacking.append(f"NVML cannot open GPU {index}: {error}")
    cuda = _answer_or(pynvml.nvmlSystemGetCudaDriverVersion_v2, 0)
    return Nvml(
        available=True,
        reason="; ".join(lacking),
        gpus=tuple(gpus),
        driver_version=_answer_or(pynvml.nvmlSystemGetDriverVersion, None),
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
    for index in range(_answer_or(partial(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle), 0)):
        instance = _answer_or(partial(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index), None)
        if instance is not None:
            yield instance


def _shut_down(pid: int) -> None:
    if os.getpid() == pid:  # a forked child inherits the exit handlers, but not what they are to close
        _answer_or(pynvml.nvmlShutdown, None)


def _answer_or(ask: Callable[[], T], otherwise: T) -> T:
    """Return NVML's answer, or ``otherwise`` where it has none."""
    try:
        return ask()
    except pynvml.NVMLError:
        return otherwise
