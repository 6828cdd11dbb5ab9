"""How large the last cache before main memory is, which decides what a copy measures."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.records import NAN

_FOLDER = "sys/devices/system/cpu/cpu0/cache"
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def cache_bytes(device: torch.device, root: Path = Path("/")) -> float:
    """Return the size of a GPU's L2 or of the CPU's last-level cache; NaN where the system does not tell it.

    The CPU's is read from Linux's sysfs, of the first core; ``root`` stands for the top of the file system.
    """
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).L2_cache_size)
    if device.type != "cpu":
        return NAN
    try:
        levels = {_read(index / "level"): _read(index / "size") for index in (root / _FOLDER).glob("index*")}
        last = levels[max(levels, key=int)]
        return float(int(last.rstrip("KMG")) * _UNITS.get(last[-1], 1))
    except (OSError, ValueError, IndexError):
        return NAN


def _read(path: Path) -> str:
    return path.read_text().strip()
