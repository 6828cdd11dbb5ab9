"""Claim: the suite's engine tells the same rates as a hand-written loop: within 2 % on a GPU, 5 % on a CPU.

A matrix product and a copy are timed in the same process, in turns: by ``harness.bench.timing.protocol.measure``, and
by a loop that calls torch, as anyone would write it. Both allocate anew each time, since a copy's speed depends on
where its pages lie. It prints the median over the rounds of the engine's time over the
hand-written one's, with the extremes.

Run: ``python benchmarks/bench_against_hand.py [--device cuda] [--threads 1] [--rounds 40 --seconds 1]``.
Measured on one thread of an AMD EPYC with ``--threads 1 --rounds 30 --seconds 1``: the engine's time was 1.006 of the
hand-written one for a product of 1024 x 1024, and 1.006 for a copy of 128 MiB. It has not been run on a GPU yet.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from harness.bench.micro.matmul import product
from harness.bench.micro.memory import BEYOND, operation
from harness.bench.timing.protocol import measure
from harness.bench.workload import Setting, Workload

MIB = 2**20


def main() -> None:
    """Time both ways in turn and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each way in each round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    setting = Setting(
        device=torch.device(options.device),
        level="quick",
        threads=options.threads,
        seconds=options.seconds,
        memory_mib=8192.0,
    )
    cuda = setting.device.type == "cuda"
    side = 4096 if cuda else 1024
    size = (512 if cuda else 128) * MIB
    pairs = {
        f"matrix product {side}": (product((side,) * 3, "fp32", setting), partial(hand_product, side, setting.device)),
        f"copy of {size // MIB} MiB": (
            operation("copy", BEYOND, size, setting),
            partial(hand_copy, size, setting.device),
        ),
    }
    for name, (workload, make) in pairs.items():
        times = [(engine_s(workload, setting), hand_s(make(), setting)) for _ in range(options.rounds)]
        ratios = sorted(engine / hand for engine, hand in times)
        rate = (workload.flops if workload.flops == workload.flops else workload.bytes_moved) * 1e-9
        engine, hand = (rate / statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{name}: engine {engine:.1f} and by hand {hand:.1f} G/s; "
            f"time ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


def engine_s(workload: Workload, setting: Setting) -> float:
    """Return the engine's seconds a call."""
    (row,) = measure([workload], setting)
    return row.t_median_s


def hand_s(call: Callable[[], object], setting: Setting) -> float:
    """Return the median seconds a call in a plain loop, after a few calls to warm up."""
    for _ in range(3):
        call()
    seconds = []
    end = time.perf_counter() + setting.seconds
    while time.perf_counter() < end:
        if setting.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if setting.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def hand_product(side: int, device: torch.device) -> Callable[[], object]:
    """Return a product into a matrix that is there."""
    a_NN, b_NN, c_NN = (torch.randn(side, side, device=device) for _ in range(3))
    return lambda: torch.mm(a_NN, b_NN, out=c_NN)


def hand_copy(size: int, device: torch.device) -> Callable[[], object]:
    """Return a copy into an array that is there."""
    a_N, b_N = (torch.randn(size // 4, device=device) for _ in range(2))
    return lambda: a_N.copy_(b_N)


if __name__ == "__main__":
    main()
