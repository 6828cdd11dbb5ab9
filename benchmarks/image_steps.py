"""Claim: a training step of small convolutional networks takes less time as harness runs it than as torch comes.

For each network there is a process for each way of running it, and they take turns, block by block, since the memory of
a process is kept or given back for all that it does. By hand: a loop as one writes it, in torch's own layout. Then what
a plan may choose: that layout, pixel by pixel (channels last), and small maps by Winograd's algorithm, all with the
memory of a step kept for the next one.

Run: ``python benchmarks/image_steps.py [--threads 2] [--rounds 15]`` on quiet cores, about a minute a network. It
prints the median seconds of a step, and the ratio to the loop by hand with its bootstrap 95 % interval. Measured with
7 rounds on two cores of a shared AMD EPYC with AVX2 (load 3) with torch 2.13, contiguous, channels last, winograd:
speednet 1.08, 1.37, 1.64; residual network 1.19, 1.68, 1.59; cnn for the digits 0.96, 1.19, 1.59. On two cores with
AVX-512 (load 1 to 2): 1.39, 1.98, 2.04; 1.24, 1.68, 1.70; 1.13, 1.44, 1.22.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import nullcontext
from statistics import median

import torch
import torch.nn.functional as F

from harness.hardware import freed_memory_kept
from harness.models import build
from harness.plan import LAYOUTS, forward_of, prepare
from harness.records import Named, TaskKind, TaskShape, image_inputs
from harness.statistics import median_interval

NETWORKS = {
    "speednet": (Named("speednet", {"width": 24, "depth": 2, "patch": 2}), 256, 28),
    "resnet": (Named("resnet", {"stages": 3, "width": 16, "blocks": 1, "order": "pre"}), 128, 28),
    "cnn": (Named("cnn", {"blocks": 2, "width": 32}), 128, 8),
}
"""By name: the network, the samples of a batch and the pixels along a side of its images."""
BY_HAND = "by hand"
BLOCK_S = 0.5


def main() -> None:
    """Time every way of every network in turn, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, way = options.one
        serve(name, way, options.threads)
        return
    for name in NETWORKS:
        seconds = in_turn(name, options.threads, options.rounds)
        for way, times in seconds.items():
            ratios = [hand / own for hand, own in zip(seconds[BY_HAND], times, strict=True)]
            middle, low, high = median_interval(ratios)
            ratio = f"by hand / this: {middle:.2f} ({low:.2f} to {high:.2f})"
            print(f"{name:9} {way:13} {median(times) * 1e3:6.1f} ms/step, {ratio}")


def in_turn(name: str, threads: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a step in each round, by the way of running it."""
    command = [sys.executable, __file__, "--threads", str(threads), "--one", name]
    children = {
        way: subprocess.Popen([*command, way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for way in (BY_HAND, *LAYOUTS)
    }
    seconds: dict[str, list[float]] = {way: [] for way in children}
    for _ in range(rounds):
        for way, child in children.items():
            assert child.stdin is not None
            assert child.stdout is not None
            print(file=child.stdin, flush=True)
            seconds[way].append(float(child.stdout.readline()))
    for child in children.values():
        child.communicate()
    return seconds


def serve(name: str, way: str, threads: int) -> None:
    """Take steps for a block's time at every line of the standard input, and print the seconds of one."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    architecture, batch, side = NETWORKS[name]
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=10, inputs=image_inputs(1, side, side))
    x_BCHW, y_B = torch.randn(batch, 1, side, side), torch.randint(10, (batch,))
    layout = "contiguous" if way == BY_HAND else way
    model = prepare(build(architecture, shape), device=torch.device("cpu"), layout=layout)
    forward = forward_of(model, device=torch.device("cpu"), precision="fp32", layout=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, foreach=True)
    with nullcontext() if way == BY_HAND else freed_memory_kept():
        for _ in sys.stdin:
            start, steps = time.perf_counter(), 0
            while steps < 2 or time.perf_counter() - start < BLOCK_S:
                logits_BC = forward((x_BCHW,))
                assert isinstance(logits_BC, torch.Tensor)
                F.cross_entropy(logits_BC, y_B).backward()
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
            print((time.perf_counter() - start) / steps, flush=True)


if __name__ == "__main__":
    main()
