"""How often the kernel has killed processes that were out of memory."""

from __future__ import annotations

from pathlib import Path

from harness.hardware.cgroup import group_folders, read_text


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
