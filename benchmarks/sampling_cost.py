"""Claim: sampling ten times a second, in a process of its own, slows a training step by less than 1 %.

Measured on two cores of an AMD EPYC with nothing else on them: 1.003 (0.992 to 1.006). Where other work shared them it
was 1.003 (0.997 to 1.012) at a load of 2.2 and 1.014 (1.003 to 1.022) at 2.7: where no core is free, the process that
samples takes its 0.4 to 1 % of one from the others.

Run: ``OMP_NUM_THREADS=1 python benchmarks/sampling_cost.py``, a minute. Blocks of steps of a small MLP, whose step is
short and so the worst case, with and without the process that samples, in turns and in pairs of random order; it prints
the median ratio of the pairs with a bootstrap 95 % interval. Nothing is pinned: the system places both processes where
it does in a search. The process is held still between its blocks (SIGSTOP), as starting it anew is no part of sampling.
On a machine with an NVIDIA GPU, ``--device cuda`` meters that GPU through NVML as well.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch
from torch import nn

from harness.hardware import Sampler, choose_device, meters_for
from harness.measure import synchronize
from harness.statistics import median_interval


def main() -> None:
    """Time both ways in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--block-s", type=float, default=0.1)
    parser.add_argument("--interval-s", type=float, default=0.1)
    options = parser.parse_args()
    device = choose_device(options.device)
    step = make_step(device)
    calls = 10
    while block_s(step, device, calls) < options.block_s:
        calls *= 2
    rng = np.random.default_rng(0)
    with Sampler(meters_for(device), interval_s=options.interval_s) as sampler:
        (process,) = psutil.Process().children()
        start, began_s = process.cpu_times(), time.perf_counter()
        sampled_s, ratios = 0.0, []
        for _ in range(options.pairs):
            seconds = {}
            for sampled in rng.permutation([False, True]).tolist():
                if sampled:
                    process.resume()
                    sampler.sample()  # what it is late with is no part of the block
                else:
                    process.suspend()
                seconds[sampled] = block_s(step, device, calls)
            sampled_s += seconds[True]
            ratios.append(seconds[True] / seconds[False])
        process.resume()
        end, elapsed_s = process.cpu_times(), time.perf_counter() - began_s
        samples = len(sampler.drain())
    middle, low, high = median_interval(ratios)
    used_s = sum(end[:2]) - sum(start[:2])
    print(f"sampled / not: {middle:.4f}, 95 % interval {low:.4f} to {high:.4f}, {len(ratios)} pairs, {device}")
    print(f"the process that samples used {100 * used_s / sampled_s:.2f} % of a core for {samples} samples")
    print(f"{elapsed_s:.0f} s; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def make_step(device: torch.device) -> Callable[[], None]:
    """Return one training step of an MLP 64-128-128-10 with batches of 128."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    x_BF, y_B = torch.randn(128, 64, device=device), torch.randint(10, (128,), device=device)

    def step() -> None:
        nn.functional.cross_entropy(model(x_BF), y_B).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def block_s(step: Callable[[], None], device: torch.device, calls: int) -> float:
    """Return the seconds that ``calls`` steps take."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        step()
    synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
