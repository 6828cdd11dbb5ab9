"""Claim: an epoch of ``harness.train.Fit`` takes at most 1.10 times as long as the same epoch of a hand-written loop.

The hand-written loop shuffles and indexes two tensors itself and measures nothing at all. Fit does the same training
and also tallies loss and metrics over the training samples, samples gradient norms, looks for divergence and yields a
record. Both train an MLP 64-128-128-10 on 1257 digits-like samples with batches of 128, the same fused AdamW (biases
are not decayed) and cross-entropy, without schedule or validation, in turn, block by block.

Run: ``python benchmarks/step_overhead.py``. It prints the median ratio over the blocks with a bootstrap 95 % interval.
Measured on one thread of a shared two-core AMD EPYC (load 1.0) with torch 2.13: 1.02 (1.02 to 1.03).
The overhead is one of epochs, not of steps: with ``--samples 12570 --blocks 60`` it is 0.98 (0.97 to 1.00).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Part, place
from harness.records import Named, Plan, TaskKind, TaskShape, table_inputs
from harness.spec import Candidate, Training
from harness.statistics import median_interval
from harness.train import Fit, Supervised, Targets, build_optimizers

FEATURES, CLASSES, BATCH = 64, 10, 128
OPTIMIZER = Named("adamw", {"lr": 1e-3, "weight_decay": 0.01})


def main() -> None:
    """Time both loops in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=400, help="timed blocks of each loop")
    parser.add_argument("--epochs", type=int, default=1, help="epochs in a block")
    parser.add_argument("--samples", type=int, default=1257, help="samples in an epoch")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    part = digits_like(options.samples)
    arms = {"bare": bare_loop(part), "fit": fit(part, options.threads)}
    for arm in arms.values():
        block_s(arm, options.epochs)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(options.blocks):
        for name, arm in arms.items():
            seconds[name].append(block_s(arm, options.epochs))

    steps = options.epochs * -(-options.samples // BATCH)
    for name, times in seconds.items():
        print(f"{name:5} {np.median(times) / steps * 1e6:7.1f} us/step")
    ratios = np.divide(seconds["fit"], seconds["bare"])
    middle, low, high = median_interval(ratios.tolist())
    print(f"fit / bare: {middle:.3f}, 95 % interval {low:.3f} to {high:.3f}, {len(ratios)} blocks")


def digits_like(samples: int) -> Part:
    """Return random samples of the shape of scikit-learn's digits, of which 1257 are 70 %."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((samples, FEATURES), dtype=np.float32)
    return Part((inputs,), rng.integers(0, CLASSES, samples), np.arange(samples))


def mlp() -> nn.Module:
    """Return the model that both loops train."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, CLASSES))


def bare_loop(part: Part) -> Iterator[None]:
    """Train without end as one would by hand; yield after every epoch."""
    model = mlp()
    (optimizer,) = build_optimizers(OPTIMIZER, model)
    x_NF, y_N = torch.from_numpy(part.inputs[0]), torch.from_numpy(part.targets)
    while True:
        for rows in torch.randperm(len(y_N)).split(BATCH):
            loss = F.cross_entropy(model(x_NF[rows]), y_N[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield


def fit(part: Part, threads: int) -> Iterator[object]:
    """Train without end with harness; yield after every epoch."""
    device = torch.device("cpu")
    batches = place(part, device=device, batch_size=BATCH, seed=0, shuffle=True)
    plan = Plan(
        device=str(device),
        precision="fp32",
        precision_ratio=1.0,
        precision_reason="benchmark",
        batch_size=BATCH,
        layout="contiguous",
        layout_reason="",
        data_path=batches.path,
        data_reason=batches.reason,
        threads=threads,
    )
    candidate = Candidate(Named("mlp"), OPTIMIZER, Named("constant"), Training(batch_size=BATCH))
    targets = Targets(TaskShape(kind=TaskKind.CLASSIFICATION, outputs=CLASSES, inputs=table_inputs(FEATURES)))
    recipe = Supervised(mlp(), candidate, targets, plan)
    return iter(Fit(recipe, batches, None, objective=("f1_macro", True), epochs=1_000_000, seed=0))


def block_s(arm: Iterator[object], epochs: int) -> float:
    """Return the seconds that so many epochs take."""
    start = time.perf_counter()
    for _ in range(epochs):
        next(arm)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
