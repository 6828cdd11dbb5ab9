"""Records of what a machine is. None or NaN means that it could not be told."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records import NAN
from harness.text import plain

_UUID = re.compile(r"\b(?:GPU|MIG)-[0-9a-f][0-9a-f/-]*", re.IGNORECASE)


def bare_uuid(uuid: str) -> str:
    """Return a device's UUID as torch writes it: in lower case and without NVML's prefix (``GPU-``, ``MIG-``)."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def hash_uuid(uuid: str) -> str:
    """Return the first 12 hex digits of the SHA-256 of the bare UUID: tells devices apart, names none."""
    return hashlib.sha256(bare_uuid(uuid).encode()).hexdigest()[:12]


def hide_uuids(text: str) -> str:
    """Return the text with a hash in the place of every UUID, whole or cut short, that has NVML's prefix."""
    return _UUID.sub(lambda found: f"{found[0][:4]}<{hash_uuid(found[0])}>", text)


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """The processor, and how much of it this process may use."""

    model: str | None
    architecture: str
    """``x86_64``, ``aarch64``, ``arm64``."""
    isa: tuple[str, ...] | None
    """Those instruction sets present that decide how fast a tensor library can be; None: not known here."""
    physical_cores: int | None
    logical_cores: int | None
    affinity_cores: int | None
    """Logical cores that the scheduler may give to this process."""
    quota_cores: float | None
    """CPU time per wall time that the control groups allow; None: no quota."""
    usable_cores: int
    """The least of the four above, rounded down, at least 1."""
    affinity: str | None = None
    """Which logical cores those of the affinity are, as ``0-3,8``."""
    caches_kib: Mapping[str, int] = field(default_factory=dict)
    """The caches that the first core can reach, ``L1d``, ``L1i``, ``L2``, ``L3``; empty: not known here."""
    numa_nodes: Mapping[str, str] = field(default_factory=dict)
    """The logical cores of each memory node by its number, as ``0-3,8``; empty: not known here."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Main memory."""

    total_mib: float
    """Of the host."""
    available_mib: float
    """What this process may still take: what the host has left, and what the control groups leave of their limit."""
    limit_mib: float | None
    """What the control groups allow this process and its neighbours together; None: no limit."""


@dataclass(frozen=True, kw_only=True)
class GpuInfo:
    """An NVIDIA GPU, or an instance of a partitioned one (MIG), as NVML tells it."""

    index: int
    """NVML's order, which is not CUDA's; an instance has the index of its GPU."""
    name: str
    uuid: str
    uuid_hash: str
    instance: bool
    """A part of a partitioned GPU."""
    compute_capability: tuple[int, int] | None
    memory_total_mib: float
    memory_used_mib: float
    memory_reserved_mib: float
    """What the driver keeps for itself, beside what is used."""
    sm_clock_mhz: float
    sm_clock_max_mhz: float
    memory_clock_mhz: float
    memory_clock_max_mhz: float
    power_w: float
    power_limit_w: float
    """The least of all limits that hold now."""
    power_limit_default_w: float
    power_limit_max_w: float
    temperature_c: float
    pcie_generation: int | None
    """Now: an idle link is slower than it can be."""
    pcie_generation_max: int | None
    pcie_width: int | None
    """Lanes."""
    pcie_width_max: int | None
    ecc: bool | None
    mig: bool | None
    """Whether it is for partitioning; its instances follow it."""
    persistence: bool | None
    """Whether the driver stays loaded when nobody uses the GPU."""
    other_processes: int | None
    """Processes on it beside this one; a container may hide them, and then None unless some are seen."""
    other_processes_mib: float
    throttle_reasons: tuple[str, ...] | None
    """What holds its clocks down now, in the words of nvidia-smi."""
    capabilities: Mapping[str, str]
    """For each field of this record that was asked for, and each telemetry name, ``yes`` or the reason why this GPU
    cannot tell it."""


@dataclass(frozen=True, kw_only=True)
class TorchDevice:
    """An accelerator that torch can use."""

    device: str
    """``cuda:0``, ``mps``."""
    name: str
    uuid: str | None = None
    uuid_hash: str | None = None
    """Equal to the ``uuid_hash`` of the :class:`GpuInfo` of the same GPU."""
    memory_total_mib: float = NAN
    compute_capability: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class TorchInfo:
    """What torch was built for and what it sees."""

    version: str
    cuda_build: str | None
    """The CUDA version that torch was built with; None: built without CUDA."""
    threads: int
    devices: tuple[TorchDevice, ...]
    cuda_reason: str = ""
    """Why torch uses no NVIDIA GPU; empty when it does."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Everything about a machine that a measurement depends on. The user's name is never collected."""

    host_name: str
    system: str
    """Operating system and kernel, such as ``Linux 6.8.0``."""
    python: str
    cpu: Cpu
    memory: Memory
    gpus: tuple[GpuInfo, ...]
    gpu_reason: str
    """Why NVML shows no GPU, or not all of them; empty when nothing is amiss."""
    driver_version: str | None
    cuda_driver_version: str | None
    torch: TorchInfo | None = None
    """None unless it was asked for."""

    def as_dict(self, *, hide_ids: bool = True) -> dict[str, Any]:
        """Return plain JSON values, NaN and infinity as None.

        ``hide_ids`` leaves out the host's name and the UUIDs of devices, whose hashes stay.
        """
        facts: dict[str, Any] = plain(dataclasses.asdict(self))
        if hide_ids:
            del facts["host_name"]
            for device in (*facts["gpus"], *(facts["torch"] or {}).get("devices", ())):
                del device["uuid"]
        return facts
