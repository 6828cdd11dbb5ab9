"""What a device could do at best: by its data sheet, and by what this suite measured.

GPUs: NVIDIA's data sheets and architecture white papers (A100 and H100 Tensor Core GPU Architecture; L4, L40S, A10, T4,
V100, H200, RTX A6000 data sheets; Ampere GA102, Ada AD102 and Blackwell RTX white papers; HGX B200), without sparsity,
at boost clock, fp16 and bf16 and fp8 with fp32 accumulation as torch uses it. A GPU is known by the whole of its name:
``A10G``, a laptop's chip or an instance of a partitioned GPU is another device.

CPUs: cores x highest clock x FLOPs per cycle, the most that any core with these instructions does (two FMA units for
AVX2 and AVX-512; AMX as in Intel's optimisation manual). That is an upper bound: some cores have one unit, and wide
units lower the clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.bench.rows import Case, Row
from harness.hardware import Cpu
from harness.records import NAN

IMPOSSIBLE_PERCENT = 105.0
PRODUCT = "matmul"
ONEDNN = "oneDNN, packed"
"""Variant of a product that the library of convolutions computes."""
STREAMS = frozenset({"copy", "triad"})
MEMORY_BENCHES = STREAMS | {"reduction"}
"""Whose gbps are main memory's."""
CONVOLVING = frozenset({"conv3x3", "train_step", "inference"})
"""What may hold convolutions, which libraries compute with fewer multiplications than are counted."""
IN_CACHE = "in cache"
"""Variant of a memory bench whose data the cache holds."""
HOST_BENCHES = frozenset({"threads"})
"""Work of the CPU whatever the device, which no peak of the device is held against."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """Highest rates of a device."""

    tflops: Mapping[str, float] = field(default_factory=dict)
    """By dtype; int8 counts operations."""
    gbps: float = NAN
    source: str = ""
    """Where they are from, or why there are none."""


def _dense(fp32: float, tensor: float, *, tf32: float = NAN, int8: float = NAN, fp8: float = NAN) -> dict[str, float]:
    """Return TFLOP/s by dtype of a GPU whose tensor cores do fp16 and bf16 alike."""
    rates = {"fp32": fp32, "tf32": tf32, "bf16": tensor, "fp16": tensor, "int8": int8, "fp8": fp8}
    return {dtype: rate for dtype, rate in rates.items() if rate == rate}


def _fp16_only(fp32: float, fp16: float, **others: float) -> dict[str, float]:
    """Return TFLOP/s by dtype of a GPU older than bf16."""
    return {"fp32": fp32, "fp16": fp16, **others}


_A100 = _dense(19.5, 312.0, tf32=156.0, int8=624.0)
_HOPPER = _dense(66.9, 989.4, tf32=494.7, int8=1978.9, fp8=1978.9)
GPUS: Mapping[str, tuple[Mapping[str, float], float]] = {
    r"A100-(SXM4|PCIE)-40GB": (_A100, 1555.0),
    r"A100-SXM4-80GB": (_A100, 2039.0),
    r"A100 80GB PCIe": (_A100, 1935.0),
    r"H100 80GB HBM3": (_HOPPER, 3352.0),
    r"H100 PCIe": (_dense(51.2, 756.4, tf32=378.2, int8=1512.9, fp8=1512.9), 2039.0),
    r"H200": (_HOPPER, 4800.0),
    r"B200": (_dense(75.0, 2250.0, tf32=1125.0, int8=4500.0, fp8=4500.0), 8000.0),
    r"L4": (_dense(30.3, 121.0, tf32=60.5, int8=242.5, fp8=242.5), 300.0),
    r"L40S": (_dense(91.6, 362.1, tf32=183.2, int8=733.0, fp8=733.0), 864.0),
    r"A10": (_dense(31.2, 125.0, tf32=62.5, int8=250.0), 600.0),
    r"T4": (_fp16_only(8.1, 65.0, int8=130.0), 320.0),
    r"V100-SXM2-(16|32)GB": (_fp16_only(15.7, 125.0), 900.0),
    r"V100-PCIE-(16|32)GB": (_fp16_only(14.0, 112.0), 900.0),
    r"GeForce RTX 3090": (_dense(35.6, 71.0, tf32=35.6, int8=284.0), 936.0),
    r"GeForce RTX 4090": (_dense(82.6, 165.2, tf32=82.6, int8=660.6, fp8=330.3), 1008.0),
    r"GeForce RTX 5090": (_dense(104.8, 209.5, tf32=104.8, int8=838.0, fp8=419.0), 1792.0),
    r"RTX A6000": (_dense(38.7, 154.8, tf32=77.4, int8=309.7), 768.0),
}
"""TFLOP/s by dtype and GB/s, by the name that the driver gives the GPU, without its maker."""

_CYCLE = {
    "fp32": (("avx512f", 64.0), ("avx2", 32.0)),
    "bf16": (("amx_bf16", 1024.0), ("avx512_bf16", 128.0)),
    "int8": (("amx_tile", 2048.0),),
}
"""FLOPs of a core in a cycle, by dtype, for the best of the instruction sets that are present."""
_HONEST_DRIVERS = ("intel_pstate", "intel_cpufreq", "amd-pstate", "amd-pstate-epp")
"""Their highest clock is the boost clock; that of others leaves the boost out."""
_CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"


def gpu_peaks(name: str) -> Peaks:
    """Return what the data sheet promises of the GPU that the driver calls ``name``."""
    bare = bare_name(name)
    for pattern, (tflops, gbps) in GPUS.items():
        if re.fullmatch(pattern, bare):
            return Peaks(tflops, gbps, f"data sheet of the {bare}, dense")
    return Peaks(source=f"no data sheet of {name!r} is known here")


def bare_name(name: str) -> str:
    """Return a GPU's name without its maker's."""
    return name.removeprefix("NVIDIA ").removeprefix("Tesla ")


def cpu_peaks(cpu: Cpu, threads: int, root: Path = Path("/")) -> Peaks:
    """Return what so many cores could do at their highest clock; ``root`` stands for the top of the file system.

    The bandwidth is NaN: how many memory channels are filled cannot be told without privileges.
    """
    clock_hz = _highest_clock_hz(root)
    if clock_hz != clock_hz:
        return Peaks(source="the CPU's maximum clock is not available on this system")
    isa = cpu.isa or ()
    per_cycle = {dtype: next((flops for name, flops in sets if name in isa), NAN) for dtype, sets in _CYCLE.items()}
    tflops = {dtype: threads * clock_hz * flops * 1e-12 for dtype, flops in per_cycle.items() if flops == flops}
    if not tflops:
        return Peaks(source="FLOPs per cycle are known here for AVX2, AVX-512 and AMX only")
    return Peaks(tflops, source=f"{threads} cores x {clock_hz * 1e-9:.2f} GHz x FLOPs per cycle, an upper bound")


def measured_peaks(rows: Iterable[Row]) -> Peaks:
    """Return the best rates among the rows: see :func:`counts_for_arithmetic` and :func:`counts_for_memory`.

    So no row of the device is above its measured peak. A precision has a peak only where its matrix products were
    measured, memory only where a copy or triad was: of a part of the suite nothing would be known.
    """
    rows = list(rows)
    arithmetic: dict[str, Row] = {}
    for row in rows:
        dtype = row.case.dtype
        if counts_for_arithmetic(row.case) and row.tflops == row.tflops:
            arithmetic[dtype] = max(row, arithmetic.get(dtype, row), key=lambda each: each.tflops)
    products = {row.case.dtype for row in rows if row.case.bench == PRODUCT and row.tflops == row.tflops}
    best = {dtype: row for dtype, row in arithmetic.items() if dtype in products}
    moved = [row for row in rows if counts_for_memory(row.case) and row.gbps == row.gbps]
    memory = max(moved, key=lambda row: row.gbps) if any(row.case.bench in STREAMS for row in moved) else None
    by = [f"{dtype}: {row.case.label}" for dtype, row in best.items()]
    by += [f"memory: {memory.case.label}"] if memory else []
    return Peaks(
        {dtype: row.tflops for dtype, row in best.items()}, memory.gbps if memory else NAN, "; ".join(by) or "no row"
    )


def counts_for_arithmetic(case: Case) -> bool:
    """Tell whether a case may set its precision's measured peak of arithmetic: any work of the device does.

    Matrix products alone are no bound. On a CPU products come from MKL and convolutions from oneDNN. Both reach about
    as much with AVX2 (33 and 38 of 40 GFLOP/s on a core of a first EPYC), but on processors that are not Intel's MKL
    leaves AVX-512 unused: on a Zen 5 convolutions are 2.3 times as fast. And convolutions count the FLOPs of the direct
    algorithm, which is oneDNN's; on a GPU Winograd's (Lavin and Gray, 2016, arXiv:1509.09308) multiplies 2.25 to 4
    times less.
    """
    return case.bench not in HOST_BENCHES


def counts_for_memory(case: Case) -> bool:
    """Tell whether a case may set the measured peak of memory: copies, triads and reductions beyond the cache."""
    return case.bench in MEMORY_BENCHES and case.variant != IN_CACHE


def with_peaks(row: Row, *, spec: Peaks, measured: Peaks) -> Row:
    """Return the row with its rate in percent of both peaks, flagged where it is beyond what is possible.

    Compute counts where a row has FLOPs, bandwidth where a memory bench has bytes; a rate in cache or of the host has
    no peak here.
    """
    share_spec, share_measured = _percent(row, spec), _percent(row, measured)
    note = row.note
    if share_spec > IMPOSSIBLE_PERCENT:
        why = (
            "" if row.case.bench not in CONVOLVING else " unless its convolutions multiply less than counted (Winograd)"
        )
        note = "; ".join(filter(None, (note, f"impossible{why}: {share_spec:.0f} % of the specified peak")))
    return replace(row, pct_spec_peak=share_spec, pct_measured_peak=share_measured, note=note)


def _percent(row: Row, peaks: Peaks) -> float:
    if row.case.bench in HOST_BENCHES:
        return NAN
    if row.tflops == row.tflops:
        return 100 * row.tflops / peaks.tflops.get(row.case.dtype, NAN)
    if counts_for_memory(row.case):
        return 100 * row.gbps / peaks.gbps
    return NAN


def _highest_clock_hz(root: Path) -> float:
    try:
        if (root / _CPUFREQ / "scaling_driver").read_text().strip() not in _HONEST_DRIVERS:
            return NAN
        return 1e3 * float((root / _CPUFREQ / "cpuinfo_max_freq").read_text())
    except (OSError, ValueError):
        return NAN
