"""What Linux control groups, versions 1 and 2, allow this process: CPU time and memory.

A limit may sit on the group itself or on any group above it, so the least on the way up counts. Inside a container
the path in ``/proc/self/cgroup`` is often the host's and not there to read; the mount itself then has the limit.
The groups are looked for where every distribution mounts them, under ``/sys/fs/cgroup``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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
    return limit / 2**20 if limit < _UNLIMITED_BYTES else None
