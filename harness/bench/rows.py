"""What a benchmark leaves: one row per variant, and the blocks that it was computed from.

The columns are a versioned schema: a file of another version is refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records import NAN

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What was measured: together these names say which rows of two machines belong together."""

    bench: str
    """``matmul``, ``copy``, ``triad``, ``reduction``, ``conv3x3``, ``attention``, ``lstm_cell``, ``host_to_device``,
    ``launch``, ``graph_replay``, ``fetch``, ``threads``, ``train_step``, ``inference``, ``largest_batch``."""
    variant: str = ""
    """What sets it apart within its bench: ``pinned``, ``resident``, ``workers=2``, ``mlp``, ``in cache``."""
    shape: str = ""
    """Such as ``4096x4096x4096`` or ``256 MiB``."""
    batch: int = 0
    """0: not a matter of batches."""
    dtype: str = "fp32"
    """``fp32``, ``tf32``, ``bf16``, ``fp16``, ``int8``, ``fp8``."""
    tf32: bool = False
    """Whether fp32 products were rounded to TF32."""
    layout: str = ""
    """``contiguous`` or ``channels_last`` where it matters."""
    compile: bool = False
    threads: int = 0
    """CPU threads of torch."""

    @property
    def family(self) -> str:
        """The group that a geometric mean is taken over."""
        return self.bench

    @property
    def flags(self) -> str:
        """What else was set, in words; empty when nothing was."""
        named = (
            ("TF32", self.tf32 and self.dtype != "tf32"),
            (self.layout.replace("_", " "), bool(self.layout)),
            ("compiled", self.compile),
            (f"{self.threads} thread{'s'[: self.threads != 1]}", self.threads > 0),
        )
        return ", ".join(name for name, holds in named if holds)

    @property
    def label(self) -> str:
        """Its name on one line, such as ``matmul 4096x4096x4096 bf16``."""
        batch = f"batch {self.batch}" if self.batch else ""
        parts = (self.bench, self.variant, self.shape, batch, self.dtype, self.flags and f"({self.flags})")
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case with what was measured of it. Times are in seconds per call; NaN: not measured, ``note`` says why."""

    case: Case
    status: str = "ok"
    """``ok``, ``skipped`` (``note`` says why), ``oom`` or ``failed``."""
    n_blocks: int = 0
    n_samples: int = 0
    """Calls that were timed."""
    stop_reason: str = ""
    """``precise``, ``cap`` or why else the measuring ended."""
    t_median_s: float = NAN
    t_ci_lo: float = NAN
    t_ci_hi: float = NAN
    """Block-bootstrap 95 % interval of the median."""
    t_min: float = NAN
    t_iqr: float = NAN
    samples_s: float = NAN
    flops: float = NAN
    """Of one call."""
    flops_source: str = ""
    """``formula``, ``counter`` or empty."""
    bytes_moved: float = NAN
    """By one call at the least: inputs and weights read once, results written once."""
    tflops: float = NAN
    gbps: float = NAN
    pct_measured_peak: float = NAN
    pct_spec_peak: float = NAN
    compile_s: float = NAN
    mem_allocated_peak_mib: float = NAN
    """By torch on CUDA, while it was made and warmed up."""
    mem_device_peak_mib: float = NAN
    mem_rss_peak_mib: float = NAN
    """Of the device and of the process at that time, less what other rows of the group held."""
    energy_j: float = NAN
    """Of one call."""
    energy_source: str = ""
    j_per_sample: float = NAN
    idle_w: float = NAN
    sm_mhz_median: float = NAN
    temp_max_c: float = NAN
    throttle: str = ""
    """Reasons, by name, that were active while it was measured."""
    psi_cpu: float = NAN
    """Share of the time in which some task waited for a CPU (Linux pressure stall information, percent)."""
    cpu_wall_ratio: float = NAN
    """CPU seconds of the process over wall seconds, in its own blocks."""
    note: str = ""
    blocks_s: tuple[float, ...] = ()
    """Median seconds per call of each block, in the order of time: what a comparison bootstraps."""
    round_blocks: tuple[int, ...] = ()
    """How many of them each round measured; empty: there was one round."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Other figures, by name."""


def skipped(case: Case, reason: str) -> Row:
    """Return the row of a case that is not measured."""
    return Row(case=case, status="skipped", note=reason)
