"""What a sampler watches, in plain data that crosses into the process that samples it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watched:
    """One GPU, or the reason why there is none; beside it this process and this machine, as always."""

    gpu_uuid: str = ""
    """As NVML or torch write it; empty: no GPU is watched."""
    no_gpu: str = "no GPU is watched"
    """Why not."""
    root: str = "/"
    """Stands for the top of the file system that pressure and the processor's energy are read from."""
