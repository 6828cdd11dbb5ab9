"""Made-up benchmark folders, written as the benchmark writes its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.bench.frames import write_bench
from harness.bench.rows import Case, Row

GPU = {
    "device": "cuda:0",
    "device_name": "NVIDIA H100 80GB HBM3",
    "level": "quick",
    "threads": 8,
    "peaks": {
        "specified": {
            "tflops": {"fp32": 66.9, "tf32": 494.7, "bf16": 989.4},
            "gbps": 3352.0,
            "source": "data sheet of the H100 80GB HBM3, dense",
        }
    },
    "machine": {
        "driver_version": "550.54",
        "cpu": {"model": "Test CPU"},
        "gpus": [{"index": 0, "name": "NVIDIA H100 80GB HBM3", "uuid_hash": "abc", "power_limit_w": 700.0}],
        "torch": {
            "version": "2.13.0",
            "cuda_build": "12.8",
            "devices": [{"device": "cuda:0", "name": "NVIDIA H100 80GB HBM3", "uuid_hash": "abc"}],
        },
    },
}
CPU = {
    "device": "cpu",
    "device_name": "Test CPU",
    "level": "quick",
    "threads": 2,
    "peaks": {"specified": {"tflops": {}, "gbps": None, "source": "the system does not tell"}},
    "machine": {"cpu": {"model": "Test CPU"}, "gpus": [], "torch": {"version": "2.13.0", "cuda_build": None}},
}
SIZES = (1024, 2048, 4096, 8192)
TFLOPS = {"fp32": 52.0, "tf32": 380.0, "bf16": 720.0}


def block_times(seconds, generator, *, blocks=20, noise=0.005, drift=0.0):
    """Return blocks whose noise is correlated from one to the next, and that drift by a share from first to last."""
    shocks = generator.normal(0, noise, blocks)
    walk = np.zeros(blocks)
    for place in range(blocks):
        walk[place] = shocks[place] + (0.5 * walk[place - 1] if place else 0)
    return tuple((seconds * np.exp(walk + np.linspace(0, drift, blocks))).tolist())


def measured(case, seconds, generator, *, flops=np.nan, moved=np.nan, samples=0, **fields):
    """Return a row with all that follows from its blocks, which are those of two rounds."""
    noise = {name: fields.pop(name) for name in ("blocks", "noise", "drift") if name in fields}
    blocks = block_times(seconds, generator, **noise)
    middle = float(np.median(blocks))
    row = Row(
        case=case,
        n_blocks=len(blocks),
        n_samples=len(blocks) * 10,
        stop_reason="precise",
        t_median_s=middle,
        t_ci_lo=0.995 * middle,
        t_ci_hi=1.005 * middle,
        t_min=min(blocks),
        samples_s=samples / middle if samples else np.nan,
        flops=flops,
        bytes_moved=moved,
        tflops=flops / middle * 1e-12,
        gbps=moved / middle * 1e-9,
        psi_cpu=1.0,
        cpu_wall_ratio=1.0,
        sm_mhz_median=1700.0,
        blocks_s=blocks,
        round_blocks=(len(blocks) - len(blocks) // 2, len(blocks) // 2),
    )
    return replace(row, **fields)


def usual_rows(seed=0, *, factor=1.0, **noise):
    """Return a run's rows; every time is multiplied by ``factor``."""
    generator = np.random.default_rng(seed)
    rows = []
    for dtype, rate in TFLOPS.items():
        for size in SIZES:
            case = Case(bench="matmul", shape=f"{size}x{size}x{size}", dtype=dtype, tf32=dtype == "tf32")
            flops, width = 2.0 * size**3, 2 if dtype == "bf16" else 4
            seconds = factor * flops / (rate * 1e12 * size / (size + 1500))
            rows.append(measured(case, seconds, generator, flops=flops, moved=3.0 * width * size**2, **noise))
    for bench in ("copy", "triad"):
        for mib, variant in ((16, "in cache"), (1024, "")):
            case, moved = Case(bench=bench, shape=f"{mib} MiB", variant=variant), 2.0 * mib * 2**20
            rate = 5.5e12 if variant else 2.9e12
            rows.append(measured(case, factor * moved / rate, generator, moved=moved, **noise))
    for compiled in (False, True):
        for batch in (64, 256):
            case = Case(bench="train_step", variant="cnn-1", batch=batch, dtype="bf16", compile=compiled)
            seconds = factor * (2e-3 if compiled else 3e-3) * batch / 64
            rows.append(measured(case, seconds, generator, samples=batch, **noise))
    rows.append(Row(case=Case(bench="largest_batch", variant="cnn-1"), facts={"batch": 4096.0}))
    oom = Case(bench="train_step", variant="transformer-1", batch=4096, dtype="bf16")
    rows.append(Row(case=oom, status="oom", note="CUDA out of memory | asked for 90 GiB"))
    rows.append(
        measured(Case(bench="launch"), factor * 4.5e-6, generator, note="throttled: software power cap", **noise)
    )
    return rows


def write_run(folder: Path, rows, env=GPU):
    """Write a benchmark's folder, and return it."""
    folder.mkdir(parents=True)
    write_bench(folder, rows, env)
    return folder
