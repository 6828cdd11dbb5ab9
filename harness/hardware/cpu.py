"""The processor: model, instruction sets, caches, and how many cores this process may use."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from harness.hardware.cgroup import read_limits, read_text
from harness.hardware.machine import Cpu

ISA = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "sve", "sve2", "bf16", "i8mm"),
)
"""The instruction sets that are reported: x86's, then Arm's, by their names in Linux."""

_CACHE_KINDS = {"Data": "d", "Instruction": "i"}
_SYSCTL_ISA = {
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
}


def read_cpu(root: Path = Path("/")) -> Cpu:
    """Return what the processor is; ``root`` stands for the top of the file system."""
    model, isa = _macos_model_and_isa() if sys.platform == "darwin" else parse_cpuinfo(read_text(root / "proc/cpuinfo"))
    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    affinity, quota = _affinity(), read_limits(root).cpu_cores
    allowed = None if affinity is None else len(affinity)
    bounds = [cores for cores in (physical, logical, allowed, quota) if cores]
    return Cpu(
        model=model or platform.processor() or None,
        architecture=platform.machine(),
        isa=isa,
        physical_cores=physical,
        logical_cores=logical,
        affinity_cores=allowed,
        quota_cores=quota,
        usable_cores=max(1, math.floor(min(bounds, default=1))),
        affinity=None if affinity is None else core_list(affinity),
        caches_kib=read_caches(root),
        numa_nodes=read_numa_nodes(root),
    )


def usable_cores() -> int:
    """Return how many threads may compute at once: the least of physical cores, affinity and control-group quota.

    Two threads on the two halves of one physical core share its vector units, so physical cores count.
    """
    return read_cpu().usable_cores


def parse_cpuinfo(text: str) -> tuple[str | None, tuple[str, ...] | None]:
    """Return the model and the instruction sets that Linux's ``/proc/cpuinfo`` tells of the first core."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features"))
    isa = None if flags is None else tuple(name for name in ISA if name in flags.split())
    return fields.get("model name"), isa


def parse_sysctl(text: str) -> tuple[str | None, tuple[str, ...] | None]:
    """Return the model and the instruction sets that ``sysctl machdep.cpu hw.optional`` tells on macOS."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    present = {name for key, name in _SYSCTL_ISA.items() if fields.get(key) == "1"}
    return fields.get("machdep.cpu.brand_string"), tuple(name for name in ISA if name in present) if fields else None


def read_caches(root: Path) -> dict[str, int]:
    """Return the sizes in KiB of the caches that the first core can reach, as Linux tells them."""
    found: dict[str, int] = {}
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (read_text(folder / name).strip() for name in ("level", "type", "size"))
        if level and size.endswith("K") and size[:-1].isdigit():
            found[f"L{level}{_CACHE_KINDS.get(kind, '')}"] = int(size[:-1])
    return found


def read_numa_nodes(root: Path) -> dict[str, str]:
    """Return the logical cores of each memory node by its number, as Linux writes them: ``0-3,8``."""
    folders = (root / "sys/devices/system/node").glob("node[0-9]*")
    nodes = {int(folder.name.removeprefix("node")): read_text(folder / "cpulist").strip() for folder in folders}
    return {str(number): nodes[number] for number in sorted(nodes)}


def core_list(cores: Iterable[int]) -> str:
    """Return the numbers in short: ``0-3,8``."""
    ranges: list[list[int]] = []
    for core in sorted(cores):
        if ranges and core == ranges[-1][-1] + 1:
            ranges[-1][1:] = [core]
        else:
            ranges.append([core])
    return ",".join("-".join(map(str, each)) for each in ranges)


def _macos_model_and_isa() -> tuple[str | None, tuple[str, ...] | None]:
    command = ["/usr/sbin/sysctl", "machdep.cpu", "hw.optional"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    return parse_sysctl(done.stdout)


def _affinity() -> set[int] | None:
    """Return the logical cores that the scheduler may give to this process."""
    return os.sched_getaffinity(0) if sys.platform == "linux" else None
