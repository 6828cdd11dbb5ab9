"""Benchmarks of the program on a GPU: the quick suite, CUDA graphs and low precisions, and a compiled model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from gpu_runs import Step

from harness.bench.catalog import ROUNDS
from harness.bench.macro.step import make_call
from harness.bench.macro.ways import compile_obstacle
from harness.bench.rows import Case
from harness.hardware import choose_device, native_precisions
from harness.measure import synchronize

MINUTE_S = 75.0
"""What ``harness bench --quick`` may take with its start and its report, to be about a minute."""
KEPT = ("bench.csv", "bench.parquet", "blocks.parquet", "env.json", "report.md")
FAILURES = ("failed", "oom")
CALLS = 5

Rows = Sequence[Mapping[str, Any]]


def bench(step: Step) -> None:
    """Run the quick suite and see whether its two rounds fit in about a minute."""
    start = time.perf_counter()
    rows, env = run(step, "bench", *(("--only", "copy", "--only", "launch") if step.rehearse else ()))
    seconds, rounds = time.perf_counter() - start, int(env["rounds"])
    step.findings.figures |= {
        "command_s": seconds,
        "suite_s": env["seconds"],
        "rounds": rounds,
        "seconds_per_round": env["seconds"] / rounds,
        "rows": len(rows),
        "skipped": sum(row["status"] == "skipped" for row in rows),
    }
    step.findings.on_gpu("all rounds fit in", rounds == ROUNDS["quick"], f"{rounds} of {ROUNDS['quick']}")
    step.findings.on_gpu("it takes about a minute", seconds <= MINUTE_S, f"it took {seconds:.0f} s")
    measured = {row["bench"] for row in rows if row["status"] == "ok"}
    for name in ("train_step", "inference", "host_to_device"):
        step.findings.on_gpu(f"{name} is measured", name in measured)


def graphs(step: Step) -> None:
    """Measure a chain of launches replayed as a CUDA graph, and products in int8 and fp8."""
    rows, _ = run(step, "graphs", *(part for name in ("graph_replay", "launch", "matmul") for part in ("--only", name)))
    findings = step.findings
    seconds = {row["variant"]: row["t_median_s"] for row in rows if row["bench"] == "graph_replay"}
    both = all(seconds.get(variant) for variant in ("launched", "replayed"))
    findings.on_gpu("a chain is launched and replayed", both, str(seconds))
    if both:
        ratio = seconds["launched"] / seconds["replayed"]
        findings.figures["launched_over_replayed"] = ratio
        findings.on_gpu("a replay takes less than the launches", ratio > 1.0, f"{ratio:.2f} times as fast")
    for dtype in ("fp32", "tf32", "bf16", "fp16", "int8", "fp8"):
        products = [row for row in rows if row["bench"] == "matmul" and row["dtype"] == dtype]
        best = max((row["tflops"] or 0.0 for row in products if row["status"] == "ok"), default=0.0)
        findings.figures[f"matmul_{dtype}_tflops"] = best or None
        if best:
            findings.on_gpu(f"products in {dtype}", True)
        else:
            findings.missing(f"products in {dtype}", next((row["note"] for row in products), "no row"))


def compiled(step: Step) -> None:
    """Train a compiled model for a few steps, in the precision that the GPU is best at."""
    device = torch.device("cpu") if step.rehearse else choose_device("cuda")
    obstacle = compile_obstacle(device)
    if obstacle and not step.rehearse:
        step.findings.missing("a compiled model is trained", obstacle)
        return
    bf16 = not step.rehearse and native_precisions(device)["bf16"] == ""
    variant = "mlp-1-small" if step.rehearse else "mlp-1"
    case = Case(bench="train_step", variant=variant, batch=32, dtype="bf16" if bf16 else "fp32")
    for asked in (False, not step.rehearse):  # on a CPU compiling would take longer than all else
        call = make_call(replace(case, compile=asked), device=device, seed=0)
        seconds = [timed(call, device) for _ in range(CALLS)]
        name = "compiled" if asked else "eager"
        step.findings.figures |= {f"{name}_first_s": seconds[0], f"{name}_step_s": min(seconds[1:])}
    step.findings.on_gpu("a compiled model is trained", True)


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def run(step: Step, label: str, *options: str) -> tuple[Rows, dict[str, Any]]:
    """Run the quick suite; return its rows and its env.json, and note what failed in it."""
    found = step.harness("bench", "--quick", "--device", step.device, "--out", "runs", "--json", *options, label=label)
    folder, rows = step.folder / found["run"], found["rows"]
    env: dict[str, Any] = json.loads((folder / "env.json").read_text(encoding="utf-8"))
    step.keep(folder, *KEPT)
    bad = [
        f"{row['bench']} {row['variant']} {row['dtype']}: {row['note']}" for row in rows if row["status"] in FAILURES
    ]
    step.findings.check("no benchmark fails", not bad, "; ".join(bad))
    step.findings.on_gpu("it is the GPU that is measured", env["device"].startswith("cuda"), env["device"])
    return rows, env
