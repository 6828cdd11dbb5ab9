"""What Linux control groups, versions 1 and 2, allow this process: CPU time, and memory, and what is left of it.

A limit may sit on the group itself or on any group above it, so the least on the way up counts. Inside a container
the path in ``/proc/self/cgroup`` is often the host's and not there to read; the mount itself then has the limit.
The groups are looked for where every distribution mounts them, under ``/sys/fs/cgroup``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

from harness.records import MIB

_MOUNT = "sys/fs/cgroup"
_UNLIMITED_BYTES = 2**60
"""Version 1 writes "no limit" as the largest number of pages, about 2**63 bytes."""


@dataclass(frozen=True)
class Limits:
    """What the groups allow; None where they set no limit, or there are none."""

    cpu_cores: float | None
    memory_mib: float | None


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the limits of this process; ``root`` stands for the top of the file system."""
    cores = [quota for folder in group_folders(root, "cpu") if (quota := _cpu_cores(folder)) is not None]
    memory = [limit for folder in group_folders(root, "memory") if (limit := _memory_mib(folder)) is not None]
    return Limits(min(cores, default=None), min(memory, default=None))


def memory_left_mib(root: Path = Path("/")) -> float | None:
    """Return what the groups let this process take beyond what is in use now; None where they set no limit.

    What a group uses counts with its neighbours in it, but for what the kernel takes back before it kills anybody: the
    cache of files, and its own caches that it can shrink. ``root`` stands for the top of the file system.
    """
    left = [
        max(0.0, limit - _memory_used_mib(folder))
        for folder in group_folders(root, "memory")
        if (limit := _memory_mib(folder)) is not None
    ]
    return min(left, default=None)


def free_host_mib(root: Path = Path("/")) -> float:
    """Return the main memory that this process may still take: what the host has, and what its control groups leave.

    In a container the host may have far more than the group lets anyone take. ``root`` stands for the top of the file
    system that the groups are read from.
    """
    available, left = psutil.virtual_memory().available / MIB, memory_left_mib(root)
    return float(available if left is None else min(available, left))


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return how often the kernel killed a process of this process's control group for memory.

    Read before and after, it tells whether a process that got SIGKILL was killed for memory, whether the group's own
    limit was reached or the machine was full. Of ``memory.events`` (version 2) or ``memory.oom_control`` (version 1,
    since Linux 4.13; https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files). None where it cannot
    be told. ``root`` stands for the top of the file system.
    """
    for folder in group_folders(root, "memory"):
        text = read_text(folder / "memory.events") or read_text(folder / "memory.oom_control")
        for line in text.splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.strip().isdecimal():
                return int(count)
    return None


def read_text(path: Path) -> str:
    """Return the text of a system file, or ``""`` where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def group_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of every group that bounds this process for ``controller``, from its own to the topmost."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            mounts = [_MOUNT, f"{_MOUNT}/unified"]
        elif controller in controllers.split(","):
            mounts = [f"{_MOUNT}/{name}" for name in (controllers, controller)]
        else:
            continue
        below = PurePosixPath(path.lstrip("/"))
        groups = [PurePosixPath()] if ".." in below.parts else [below, *below.parents]
        yield from (root / mount / group for mount in mounts for group in groups)


def _cpu_cores(folder: Path) -> float | None:
    words = read_text(folder / "cpu.max").split()
    if not words:
        quota, period = read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us")
        words = [quota.strip(), period.strip()]
    try:
        quota_us, period_us = (int(word) for word in words)
    except ValueError:
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _memory_mib(folder: Path) -> float | None:
    text = read_text(folder / "memory.max") or read_text(folder / "memory.limit_in_bytes")
    try:
        limit = int(text)
    except ValueError:
        return None
    return limit / MIB if limit < _UNLIMITED_BYTES else None


def _memory_used_mib(folder: Path) -> float:
    """Return what a group and those below it hold and cannot be made to give up; 0 where it does not tell."""
    text = read_text(folder / "memory.current") or read_text(folder / "memory.usage_in_bytes")
    try:
        used = int(text)
    except ValueError:
        return 0.0
    return max(0.0, used - _reclaimable_bytes(folder)) / MIB


def _reclaimable_bytes(folder: Path) -> int:
    """Return the bytes of a group that the kernel takes back when it needs them.

    Files that live in memory only (tmpfs, ``memfd``) are in no list of files, and stay.
    """
    pairs = (line.split() for line in read_text(folder / "memory.stat").splitlines())
    stat = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
    # Version 1 counts a group alone under the bare names, and with the groups below it under these.
    files = [stat.get(f"total_{name}", stat.get(name, 0)) for name in ("active_file", "inactive_file")]
    return sum(files) + stat.get("slab_reclaimable", 0)
