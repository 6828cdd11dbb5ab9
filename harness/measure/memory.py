"""Memory: the peak of a stretch of work as torch accounts for it, running out of it, and giving it back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness.hardware import synchronize, trim
from harness.records import MIB, Figures

NAME = "memory_allocated_peak_mib"
_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "std::bad_alloc",
    "out of memory",
    "status_alloc_failed",
    "allocation_failed",
    "cublas_status_not_initialized",
)
"""How the CPU's allocator, C++, cuBLAS and cuDNN (the last but one since its version 9) say that there is none left:
they have no exception class for it. That cuBLAS is not initialised is what it says where its handle finds no room."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(word in str(error).lower() for word in _WORDS)


def free_memory(device: torch.device) -> None:
    """Give back what is no longer used, so that the peaks of two pieces of work do not add up."""
    gc.collect()
    trim()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Let the garbage collector pass over what is there already, so that :func:`free_memory` costs next to nothing.

    A collection in a process that holds torch, optuna and pandas took 0.27 s, in one that had compiled a model half a
    second, and 0.3 ms after this. Where the collector passes over something already, it goes on with that afterwards.
    """
    gc.collect()
    first = gc.get_freeze_count() == 0
    gc.freeze()
    try:
        yield
    finally:
        if first:
            gc.unfreeze()


class MemoryPeak:
    """Context manager around a stretch of work; ``figures`` holds ``memory_allocated_peak_mib`` afterwards.

    CUDA: the most bytes of live tensors at once, what was alive before included (the allocator's cache, the CUDA
    context and other libraries are not; NVML sees those). Entering starts the device's peak anew, so stretches on one
    device must not be nested. MPS keeps no peak: the bytes alive at the end, a lower bound. CPU: NaN, torch keeps no
    account there (the peak of the process is ``memory_rss_peak_mib``).

    Until the stretch has ended, or somebody looks, ``figures`` is NaN with that as the reason.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.figures = Figures.missing("the measured stretch has not ended", NAME)

    def __enter__(self) -> MemoryPeak:
        if self.device.type == "cuda":
            synchronize(self.device)  # starts CUDA, without which the allocator has no account to reset
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        self.look()

    def look(self) -> None:
        """Bring ``figures`` up to date in the middle of the stretch."""
        if self.device.type == "cuda":
            self.figures = Figures({NAME: torch.cuda.max_memory_allocated(self.device) / MIB})
        elif self.device.type == "mps":
            self.figures = Figures({NAME: torch.mps.current_allocated_memory() / MIB})
        else:
            reason = f"torch keeps no account of {self.device.type} memory; see memory_rss_peak_mib"
            self.figures = Figures.missing(reason, NAME)
