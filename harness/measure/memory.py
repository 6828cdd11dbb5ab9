"""Peak memory of a stretch of work, as torch's own allocator accounts for it."""

from __future__ import annotations

from types import TracebackType

import torch

from harness.measure.timing import synchronize
from harness.records import Figures

MIB = 2**20
NAME = "memory_allocated_peak_mib"


class MemoryPeak:
    """Context manager around a stretch of work; ``figures`` holds ``memory_allocated_peak_mib`` afterwards.

    CUDA: the most bytes of live tensors at once, what was alive before included (the allocator's cache, the CUDA
    context and other libraries are not; NVML sees those). Entering starts the device's peak anew, so stretches on one
    device must not be nested. MPS keeps no peak: the bytes alive at the end, a lower bound. CPU: NaN, torch keeps no
    account there (the peak of the process is ``memory_rss_peak_mib``).

    Until the stretch has ended, ``figures`` is NaN with that as the reason.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.figures = Figures.missing("the measured stretch has not ended", NAME)

    def __enter__(self) -> MemoryPeak:
        if self.device.type == "cuda":
            synchronize(self.device)  # starts CUDA, without which the allocator has no account to reset
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            self.figures = Figures({NAME: torch.cuda.max_memory_allocated(self.device) / MIB})
        elif self.device.type == "mps":
            self.figures = Figures({NAME: torch.mps.current_allocated_memory() / MIB})
        else:
            reason = f"torch keeps no account of {self.device.type} memory; see memory_rss_peak_mib"
            self.figures = Figures.missing(reason, NAME)
