"""What small transformers would gain by being trained as one program, as small MLPs are.

    python benchmarks/stack_transformers.py [--models 8] [--rounds 9]

Gradients of several transformers on series of random numbers, batches of 32, one thread: one model after the other, and
all at once by ``torch.func.vmap`` over their weights. CPU time, in turn; ratios are those of a round, their median and
range. Above 1 all at once is faster.

On two shared cores of an EPYC with AVX2 that did other work (load 2.6), eight models: 1.49 (1.23 to 1.61) at a width
of 16 and 8 steps, which few would train; 0.93, 0.84 and 0.86 at 32 and 16 steps, 32 and 64, and 64 and 64. So
transformers are trained alone.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from harness import models
from harness.records import Input, InputKind, Named, TaskKind, TaskShape

BATCH, CHANNELS, CLASSES = 32, 8, 10
SIZES = ((16, 8), (32, 16), (32, 64), (64, 64))
"""Widths, and steps of a series."""


def arms(width: int, steps: int, count: int) -> dict[str, Callable[[], object]]:
    """Return both ways to compute the gradients of so many models."""
    series = Input(kind=InputKind.SERIES, shape=(steps, CHANNELS))
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=CLASSES, inputs=(series,))
    family = Named("transformer", {"depth": 2, "heads": 4, "head_width": width // 4, "patch": 1})
    built = [models.build(family, shape) for _ in range(count)]
    x_KBTC = torch.randn(count, BATCH, steps, CHANNELS)
    targets_KB = torch.randint(CLASSES, (count, BATCH))
    weights, buffers = stack_module_state(built)
    base = built[0]

    def loss(own: dict[str, Any], around: dict[str, Any], x_BTC: Tensor, targets_B: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(base, (own, around), (x_BTC,)), targets_B)

    at_once = vmap(grad(loss))

    def one_by_one() -> None:
        for model, x_BTC, targets_B in zip(built, x_KBTC, targets_KB, strict=True):
            model.zero_grad()
            torch.autograd.backward(F.cross_entropy(model(x_BTC), targets_B))

    return {"one by one": one_by_one, "at once": lambda: at_once(weights, buffers, x_KBTC, targets_KB)}


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.models} models, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    print(f"{'width':>6}{'steps':>6}{'ms a model, one by one':>24}{'one by one / at once':>26}")
    for width, steps in SIZES:
        ways = arms(width, steps, options.models)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.rounds + 2):
            for name, way in ways.items():
                begun = time.process_time()
                way()
                if number >= 2:
                    taken[name].append(time.process_time() - begun)
        ratios = sorted(one / all_ for one, all_ in zip(*taken.values(), strict=True))
        each_ms = 1e3 * median(taken["one by one"]) / options.models
        print(f"{width:6}{steps:6}{each_ms:24.1f}{median(ratios):12.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
