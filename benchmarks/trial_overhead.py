"""Claim: of a trial of 0.3 s at most 15 % is not its training, whatever is planned, measured and stored beside it.

    python benchmarks/trial_overhead.py [--trials 64] [--width 64]

A random search over the learning rate and weight decay of two-layer MLPs on digits, 20 epochs in batches of 64 with
AdamW, in one process on one thread. After each trial the same model is trained by a hand-written loop on resident
tensors, with an accuracy on the validation samples after every epoch. Told are medians over the trials but the first:
the whole trial, from the end of the one before; its epochs with their validation; the rest; and the loop.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import harness
from harness.records import EpochRecord, TrialRecord
from harness.statistics import median_interval

EPOCHS, BATCH, TRAIN, VALIDATION = 20, 64, 1077, 360
"""As the program splits the 1,797 samples of digits."""


class Watch(harness.Observer):
    """Takes the times of each trial, and runs the loop between two of them."""

    def __init__(self, width: int) -> None:
        x = load_digits()
        inputs = (x.data - x.data.mean(0)) / (x.data.std(0) + 1e-6)
        self._x, self._y = torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(x.target)
        self._width = width
        self._last_s = time.perf_counter()
        self._trained_s = 0.0
        self.rows: list[tuple[float, float, float]] = []
        """Seconds of each trial: the whole, its epochs, the hand-written loop."""

    def epoch_ended(self, epoch: EpochRecord) -> None:
        """Add the seconds of an epoch of a trial."""
        self._trained_s += epoch.train_s + epoch.validation_s

    def trial_ended(self, record: TrialRecord) -> None:
        """Note the times of a trial, and run the loop."""
        now = time.perf_counter()
        params: dict[str, Any] = record.candidate["optimizer"]["adamw"]
        self.bare(params["lr"], params["weight_decay"])
        self.rows.append((now - self._last_s, self._trained_s, time.perf_counter() - now))
        self._last_s, self._trained_s = time.perf_counter(), 0.0

    def bare(self, lr: float, weight_decay: float) -> float:
        """Train as one would by hand; return the best accuracy."""
        model = nn.Sequential(
            *(nn.Linear(64, self._width), nn.ReLU(), nn.Linear(self._width, self._width), nn.ReLU()),
            nn.Linear(self._width, 10),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
        known, best = (self._x[TRAIN : TRAIN + VALIDATION], self._y[TRAIN : TRAIN + VALIDATION]), 0.0
        for _ in range(EPOCHS):
            model.train()
            for rows in torch.randperm(TRAIN).split(BATCH):
                loss = F.cross_entropy(model(self._x[rows]), self._y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                best = max(best, (model(known[0]).argmax(1) == known[1]).float().mean().item())
        return best


def main() -> None:
    """Search, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    adamw = {
        "lr": {"float": [1e-4, 1e-1], "log": True},
        "weight_decay": {"float": [1e-6, 1e-1], "log": True},
    }
    space = {
        "task": "digits",
        "objective": "accuracy",
        "budget": {"epochs": EPOCHS},
        "search": {"sampler": "random", "pruner": "none", "baselines": False},
        "training": {"final": "keep"},
        "space": {
            "architecture": {"mlp": {"depth": 2, "width": options.width}},
            "optimizer": {"adamw": adamw},
            "batch_size": BATCH,
        },
    }
    watch = Watch(options.width)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        harness.search(space, trials=options.trials, workers=0, out=folder, observer=watch)
    tell(np.array(watch.rows[1:]))


def tell(rows: np.ndarray) -> None:
    """Print the medians of whole, epochs and loop, and the shares with their intervals."""
    whole, epochs, bare = rows.T
    for name, seconds in (("trial", whole), ("its epochs", epochs), ("the rest", whole - epochs), ("by hand", bare)):
        print(f"{name:11} {1e3 * np.median(seconds):7.1f} ms")
    for name, shares in (("the rest / epochs", (whole - epochs) / epochs), ("epochs / by hand", epochs / bare)):
        middle, low, high = median_interval(shares.tolist())
        print(f"{name}: {middle:.3f}, 95 % interval {low:.3f} to {high:.3f}, {len(shares)} trials")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
