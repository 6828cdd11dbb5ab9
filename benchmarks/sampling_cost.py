"""Claim: reading the meters ten times a second slows a training step by less than 1 %.

Run: ``python benchmarks/sampling_cost.py``. Blocks of steps of a small MLP, whose step is short and so the worst case,
with and without the sampler's thread, in turn; it prints the median ratio with a bootstrap 95 % interval. On a machine
with an NVIDIA GPU, ``--device cuda`` meters that GPU through NVML as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from harness.hardware import Sampler, choose_device, meters_for
from harness.measure import synchronize


def main() -> None:
    """Time both ways in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--block-s", type=float, default=0.2)
    options = parser.parse_args()
    device = choose_device(options.device)
    step = make_step(device)
    sampler = Sampler(meters_for(device))
    calls = 10
    while block_s(step, device, calls) < options.block_s:
        calls *= 2
    ratios = []
    for pair in range(options.pairs):
        seconds = {}
        for sampled in (False, True) if pair % 2 else (True, False):
            if sampled:
                sampler.start()
            seconds[sampled] = block_s(step, device, calls)
            sampler.stop()
        ratios.append(seconds[True] / seconds[False])
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    print(
        f"sampled / not: {np.median(ratios):.4f}, 95 % interval {low:.4f} to {high:.4f}, {len(ratios)} pairs, {device}"
    )


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
