"""Training several small MLPs as one program, against one by one and against a hand-written loop.

    python benchmarks/stack.py [--epochs 20] [--rounds 5]

Two-layer MLPs of width 64 on digits, AdamW, batches of 64, one thread: CPU milliseconds of a model in stacks of 1, 4,
16 and 64, of ``Fit`` (a trial alone), and of a bare loop on resident tensors with the fused AdamW. All arms take turns,
round by round; ratios are those of a round, their median and range. CPU time and not wall time, so that a busy
neighbour weighs less; the load is printed with them.

On two shared cores of an EPYC with AVX2 at a load of 13, 6 epochs: stacks of 1, 4, 16 and 64 train a model 1.31, 3.32,
4.98 and 5.74 (5.19 to 5.92) times as fast as the bare loop, a trial alone 0.88 times.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F

from harness import models
from harness.data import Order, TrainingData, load, place
from harness.problems import problems
from harness.records import NAN, Named, Plan
from harness.spec import Candidate, Training, parse_spec
from harness.train import Fit, Supervised, Targets
from harness.train.randomness import chance
from harness.train.stack import Member, Stack

CPU = torch.device("cpu")
BATCH, RATE = 64, 3e-3
SPACE = "task: digits\nspace: {architecture: mlp}\n"
CANDIDATE = Candidate(
    Named("mlp", {"depth": 2, "width": 64}),
    Named("adamw", {"lr": RATE, "weight_decay": 0.01}),
    Named("constant"),
    Training(batch_size=BATCH),
)
PLAN = Plan(
    device="cpu",
    precision="fp32",
    precision_ratio=NAN,
    precision_reason="",
    batch_size=BATCH,
    layout="contiguous",
    layout_reason="",
    data_path="resident",
    data_reason="",
    threads=1,
)
OBJECTIVE = ("accuracy", True)


@dataclass(frozen=True)
class Arms:
    """The ways to train, each so many epochs."""

    data: TrainingData
    epochs: int

    def bare(self) -> None:
        """One model by a loop as one writes it."""
        (x, targets), (held_out, held_out_targets) = (self._tensors(part) for part in ("train", "validation"))
        model = models.build(CANDIDATE.architecture, self.data.shape)
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(x)).split(BATCH):
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(model(x[rows]), targets[rows]))
                optimizer.step()
            with torch.no_grad():
                (model(held_out).argmax(1) == held_out_targets).float().mean().item()

    def alone(self) -> None:
        """One model as a trial alone is trained."""
        train = place(self.data.train, device=CPU, batch_size=BATCH, seed=0, shuffle=True)
        validation = place(self.data.validation, device=CPU, batch_size=512, seed=0, shuffle=False)
        for _ in Fit(self._recipe(0), train, validation, objective=OBJECTIVE, epochs=self.epochs, seed=0):
            pass

    def stack(self, count: int) -> Callable[[], None]:
        """So many models as one program."""

        def train() -> None:
            members = [self._member(seed) for seed in range(count)]
            stack = Stack(members, lambda: None)
            for _ in range(self.epochs):
                stack.epoch()

        return train

    def _tensors(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        part = getattr(self.data, name)
        return part.tensors(CPU)[0], torch.from_numpy(part.targets)

    def _recipe(self, seed: int) -> Supervised:
        with chance(CPU, seed):
            model = models.build(CANDIDATE.architecture, self.data.shape)
        counts = problems[self.data.shape.kind].class_counts(self.data.train.targets, self.data.shape)
        return Supervised(model, CANDIDATE, Targets(self.data.shape, counts), PLAN)

    def _member(self, seed: int) -> Member:
        samples = len(self.data.train)
        order = Order(part_samples=samples, batch_size=BATCH, seed=seed, shuffle=True, drop_last=False)
        return Member(self._recipe(seed), order, self.data, objective=OBJECTIVE, epochs=self.epochs, seed=seed)


def main() -> None:
    """Print a row for each arm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load(parse_spec(SPACE, origin="benchmark").task, seed=0).training_data()
    arms = Arms(data, options.epochs)
    ways: dict[str, tuple[Callable[[], None], int]] = {"bare loop": (arms.bare, 1), "alone": (arms.alone, 1)}
    ways |= {f"stack of {count}": (arms.stack(count), count) for count in (1, 4, 16, 64)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    Arms(data, 1).alone()
    for _ in range(options.rounds):
        for name, (train, count) in ways.items():
            begun = time.process_time()
            train()
            seconds[name].append((time.process_time() - begun) / count)
    load_1, load_5, _ = os.getloadavg()
    print(
        f"{options.epochs} epochs, {options.rounds} rounds, load {load_1:.1f} {load_5:.1f}, torch {torch.__version__}"
    )
    print(f"{'arm':12}{'CPU ms a model':>16}{'bare loop / arm':>22}")
    for name, taken in seconds.items():
        ratios = sorted(bare / own for bare, own in zip(seconds["bare loop"], taken, strict=True))
        print(f"{name:12}{1e3 * median(taken):16.1f}{median(ratios):10.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
