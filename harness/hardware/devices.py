"""Which torch device to use, what it can do natively, and what meters it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from functools import cache

import torch

from harness.errors import HardwareError
from harness.hardware.cgroup import free_host_mib
from harness.hardware.cpu import read_cpu
from harness.hardware.machine import TorchDevice, TorchInfo, hash_uuid, hide_uuids
from harness.hardware.meters import Watched
from harness.hardware.names import check_device_name
from harness.hardware.nvml import open_nvml
from harness.records import MIB


def choose_device(name: str) -> torch.device:
    """Return the device named ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``auto`` is the first CUDA device, else MPS, else the CPU; ``cuda`` is ``cuda:0``. Raises HardwareError for a device
    that is not there, and InputError for a name that is none.
    """
    if name == "cpu":
        return torch.device("cpu")
    if name == "auto":
        return torch.device(next(iter(_accelerators()), "cpu"))
    check_device_name(name)
    wanted, there = "cuda:0" if name == "cuda" else name, _accelerators()
    if wanted not in there:
        raise HardwareError(f"no device {name!r}: found {', '.join((*there, 'cpu'))}; {_advice(wanted)}")
    return torch.device(wanted)


def native_precisions(device: torch.device) -> Mapping[str, str]:
    """Return for fp32, tf32, bf16 and fp16 ``""`` when worth trying on the device, else the reason against it.

    On a GPU by compute capability: bf16 and TF32 tensor cores came with 8.0, fp16 ones with 7.0. On a CPU bf16 can pay
    with AMX or AVX512-BF16, whose products take half the time of those in fp32; emulated it was slower wherever it was
    measured.
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        ampere = "" if major >= 8 else f"needs compute capability 8.0; this GPU has {major}.{minor}"
        volta = "" if major >= 7 else f"needs compute capability 7.0; this GPU has {major}.{minor}"
        return {"fp32": "", "tf32": ampere, "bf16": ampere, "fp16": volta}
    tf32 = f"TF32 is a format of NVIDIA GPUs; the device is {device.type}"
    if device.type == "mps":
        return {"fp32": "", "tf32": tf32, "bf16": "not dependable on MPS", "fp16": ""}
    isa = set(_isa())
    products = {"amx_tile", "amx_bf16"} <= isa or "avx512_bf16" in isa
    bf16 = "" if products else "this CPU shows neither AMX nor AVX512-BF16, without which bf16 is slower than fp32"
    return {"fp32": "", "tf32": tf32, "bf16": bf16, "fp16": "fp16 is slower than fp32 on a CPU and overflows"}


@cache
def _isa() -> tuple[str, ...]:
    """Return the instruction sets of the processor, which are read once: a search asks before each trial."""
    return tuple(read_cpu().isa or ())


def free_mib(device: torch.device) -> float:
    """Return the memory that may still be taken on a device: a GPU's own, else :func:`free_host_mib`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free / MIB)
    return free_host_mib()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything it was given; on the CPU there is nothing to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # without an argument it waits for the current GPU, which may be another
    elif device.type != "cpu":
        torch.get_device_module(device).synchronize()


def meters_for(device: torch.device) -> Watched:
    """Return what to watch while this process works on ``device``: its GPU, or why there is none to be metered."""
    if device.type != "cuda":
        return Watched(no_gpu=f"the device is {device.type}; only NVIDIA GPUs are metered")
    return Watched(gpu_uuid=str(torch.cuda.get_device_properties(device).uuid))


def describe_torch() -> TorchInfo:
    """Return what torch was built for and which accelerators it sees."""
    return TorchInfo(
        version=torch.__version__,
        cuda_build=torch.version.cuda,
        threads=torch.get_num_threads(),
        devices=tuple(_describe(device) for device in _accelerators()),
        cuda_reason=hide_uuids(_cuda_trouble()),
    )


def _accelerators() -> tuple[str, ...]:
    """Return the names of the accelerators that torch can use, best first."""
    cuda = () if _cuda_trouble() else tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return (*cuda, "mps") if torch.backends.mps.is_available() else cuda


def _describe(device: str) -> TorchDevice:
    if device == "mps":
        return TorchDevice(device=device, name="Apple GPU")
    properties = torch.cuda.get_device_properties(device)
    uuid = str(properties.uuid)
    return TorchDevice(
        device=device,
        name=properties.name,
        uuid=uuid,
        uuid_hash=hash_uuid(uuid),
        memory_total_mib=properties.total_memory / MIB,
        compute_capability=(properties.major, properties.minor),
    )


def _cuda_trouble() -> str:
    """Return ``""`` if torch can use CUDA, else what is known about why not."""
    with warnings.catch_warnings(record=True) as caught:  # torch tells a driver's trouble in a warning
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA: install a CUDA build of torch"
    said = "; ".join(str(each.message).splitlines()[0] for each in caught)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f"; CUDA_VISIBLE_DEVICES is {visible!r}"
    return f"torch sees no NVIDIA GPU ({said or open_nvml().reason or 'NVML sees no trouble'}{hidden})"


def _advice(wanted: str) -> str:
    if wanted == "mps":
        return "MPS needs macOS on Apple silicon; use the device auto"
    return f"{_cuda_trouble() or 'use one of these'}, or use the device auto"
