"""What pruning saves and what it loses under each schedule: pruners replayed on stored curves.

Run: ``OMP_NUM_THREADS=1 python benchmarks/pruning.py [--orders 10]``, a minute or two. The tables ``schedule-*`` of
benchmarks/regret_tables.py have the same candidates trained under a cosine, under warm-up, stable, decay, and at a
constant rate. Each schedule's candidates come in random orders, and the pruners of the program decide as in a search by
chance. Printed are the rank correlation (Spearman) of the best so far at a quarter, half and three quarters of the
epochs with the best of all, the share of all epochs that were trained, and the loss: the logarithm of the error of the
best complete trial less that of the best candidate. ``asha*`` has no rung in the decay of wsd, its last fifth.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
from regret_tables import FOLDER, record
from scipy.stats import spearmanr

from harness.records import EpochRecord, Outcome
from harness.spec import load_spec
from harness.study.decide.halving import Halving
from harness.study.decide.mirror import Mirror
from harness.study.objectives import Objective

ERROR = Objective("error", maximize=False)
Curves = list[np.ndarray]
"""Errors after every epoch, of each candidate."""


def main() -> None:
    """Print a row for each table, schedule and pruner."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=10)
    options = parser.parse_args()
    for path in sorted(FOLDER.glob("schedule-*.parquet")):
        table = pq.read_table(path).to_pandas()
        errors = [1.0 - np.array(curve) if "digits" in path.stem else np.array(curve) for curve in table["curve"]]
        for schedule in dict.fromkeys(table["schedule"]):
            curves = [error for error, each in zip(errors, table["schedule"], strict=True) if each == schedule]
            show(f"{path.stem.removeprefix('schedule-')} {schedule}", curves, options.orders)


def show(name: str, curves: Curves, orders: int) -> None:
    """Print what early epochs tell of late ones, and what each pruner makes of that."""
    reached = np.array([np.minimum.accumulate(curve) for curve in curves])
    epochs = reached.shape[1]
    early = (f"{spearmanr(reached[:, epochs * part // 4 - 1], reached[:, -1])[0]:.2f}" for part in (1, 2, 3))
    print(f"{name}: {len(curves)} candidates, correlations {', '.join(early)}")
    best = math.log(max(reached.min(), 1e-4))
    for pruner in ("none", "median", "asha"):
        rng, spent, lost = np.random.default_rng(0), [], []
        for _ in range(orders):
            order = [curves[place] for place in rng.permutation(len(curves))]
            ended = list(by_halving(order) if pruner == "asha" else by_pruner(order, pruner))
            spent.append(sum(length for length, _ in ended) / (epochs * len(curves)))
            lost.append(math.log(max(min(value for _, value in ended), 1e-4)) - best)
        print(f"  {pruner:7} {np.mean(spent):.2f} of the epochs, loss {np.mean(lost):.3f} (worst {max(lost):.3f})")


def by_pruner(order: Curves, pruner: str) -> Iterator[tuple[int, float]]:
    """Yield the epochs of each trial and its value, infinite where one of Optuna's pruners has given it up."""
    epochs = len(order[0])
    spec = load_spec("digits", [f"budget.epochs={epochs}", f"search.pruner={pruner}", "search.sampler=random"])
    mirror = Mirror(spec, [ERROR])
    for number, curve in enumerate(order):
        mirror.ask()
        pruned_at = next(
            (
                epoch
                for epoch, value in enumerate(curve, 1)
                if mirror.should_prune(number, epoch, value, horizon=number - 1)
            ),
            0,
        )
        length = pruned_at or epochs
        outcome = Outcome.PRUNED if pruned_at else Outcome.COMPLETE
        values = () if pruned_at else (float(curve.min()),)
        mirror.tell(record(number, outcome, {}, values=values), records_of(number, curve[:length]))
        yield length, math.inf if pruned_at else float(curve.min())


def by_halving(order: Curves) -> Iterator[tuple[int, float]]:
    """Yield the epochs of each trial and its value, infinite where successive halving left it waiting."""
    halving, stood = Halving(len(order[0]), maximize=False), [0] * len(order)
    new = iter(range(len(order)))
    while True:
        promoted = halving.promote()
        if promoted is None and (trial := next(new, None)) is not None:
            promoted = trial, halving.rungs[0]
        if promoted is None and not any(length == halving.rungs[-1] for length in stood):
            promoted = halving.best_paused()
        if promoted is None:
            break
        trial, until = promoted
        stood[trial] = until
        halving.reached(trial, until, float(order[trial][:until].min()))
    for curve, length in zip(order, stood, strict=True):
        yield length, float(curve.min()) if length == len(curve) else math.inf


def records_of(trial: int, curve: np.ndarray) -> list[EpochRecord]:
    """Return the records of a curve's epochs."""
    return [
        EpochRecord(
            trial=trial,
            epoch=epoch,
            train={},
            validation={"error": float(value)},
            learning_rate=1.0,
            gradient_norm=1.0,
            train_s=1.0,
            validation_s=1.0,
            train_samples_s=1.0,
        )
        for epoch, value in enumerate(curve, 1)
    ]


if __name__ == "__main__":
    main()
