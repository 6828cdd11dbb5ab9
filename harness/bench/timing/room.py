"""What memory this process holds."""

from __future__ import annotations

from typing import NamedTuple

import psutil
import torch

MIB = 2**20


class Held(NamedTuple):
    """Memory of this process, in MiB."""

    device: float
    host: float


def held_mib(device: torch.device) -> Held:
    """Return what torch has of the device's memory, 0 but on CUDA, and the resident memory of the process."""
    return Held(torch.cuda.memory_reserved(device) / MIB if device.type == "cuda" else 0.0, rss_mib())


def rss_mib() -> float:
    """Return the resident memory of this process."""
    return float(psutil.Process().memory_info().rss / MIB)
