"""Claims: a probe foretells the seconds of an epoch within 25 % (median), and gates save 80 % of what would be wasted.

Run: ``python benchmarks/gates.py [digits] [fashion-mnist] [--trials 12] [--limit-ms 5] [--seed 0]``.

Prediction: candidates of the shipped space, drawn at random, each trained for three epochs, with what was predicted of
them before. Saving: a space of networks far too slow for the limit is searched twice at random, so that both searches
propose the same candidates: once without gates, which trains them all, and once with the limit. The compute wasted
without gates is that of the candidates whose latency came out above the limit, with gates what was spent on those that
the gates rejected or that broke the limit all the same. The calibration of earlier runs is not used.

Fashion-MNIST is cut to 3,000 samples, for its slowest candidates would train for hours.

Measured on two cores of an AMD EPYC, twelve trials each, with digits and then Fashion-MNIST: seconds of an epoch were
foretold with an error of 7.3 % and 5.7 % (median), all within 25 %; peak memory with 0.0 % and 3.3 %; with a limit of
5 ms gates saved 87.5 % of 32.1 s and 82.5 % of 26.8 s, and the slowest candidate that was trained stayed 4 % and 34 %
below the limit. For the short trials of the former part gates took 28 % and 15 % of the device time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import pandas as pd

TASKS = {"digits": "task=digits", "fashion-mnist": "task={builtin: fashion-mnist, limit: 3000}"}
WIDTHS = {"digits": 320, "fashion-mnist": 96}
"""Most channels of the first stage: with larger images as many as take seconds, not minutes."""
WIDE = """{{
  architecture: {{
    mlp: {{depth: {{int: [1, 6]}}, width: {{int: [64, 4096]}}}},
    cnn: {{stages: {{int: [1, 3]}}, width: {{int: [16, {width}]}}, blocks: {{int: [1, 3]}}}}}},
  optimizer: {{adamw: {{lr: 0.001}}}}, batch_size: [64, 128]}}"""
ALIKE = ("search.sampler=random", "search.pruner=none", "training.final=keep", "training.precision=fp32")


def main() -> None:
    """Print both for every task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--limit-ms", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        for task in options.tasks or TASKS:
            _tell_predictions(task, options.trials, options.seed, folder)
            _tell_savings(task, options.trials, options.limit_ms, options.seed, folder)


def _tell_predictions(task: str, trials: int, seed: int, folder: str) -> None:
    # A limit that nothing breaks has every candidate probed.
    found = _search(
        task,
        TASKS[task],
        "budget.epochs=3",
        "budget.time=10h",
        "limits.train_seconds=1h",
        seed=seed,
        trials=trials,
        out=folder,
    )
    for name, predicted, measured in (
        ("seconds of an epoch", found["predicted_epoch_s"], found["epoch_s"]),
        ("peak memory (MiB)", found["predicted_memory_mb"], found["memory_rss_peak_mib"]),
    ):
        ratio = (measured / predicted).dropna()
        print(
            f"{task}: {name}: measured / predicted median {ratio.median():.3f}, "
            f"error {100 * (predicted / measured - 1).abs().median():.1f} % (median), "
            f"within 25 %: {100 * ratio.between(0.75, 1.25).mean():.0f} % of {len(ratio)} trials",
            flush=True,
        )
    print(
        f"{task}: gates took {100 * found['gate_s'].sum() / found['seconds'].sum():.1f} % of the device time",
        flush=True,
    )


def _tell_savings(task: str, trials: int, limit_ms: float, seed: int, folder: str) -> None:
    wide = (TASKS[task], f"space={WIDE.format(width=WIDTHS[task])}", "budget.epochs=1")
    free = _search("digits", *wide, seed=seed, trials=trials, out=folder)
    gated = _search("digits", *wide, f"limits.latency_ms={limit_ms}", seed=seed, trials=trials, out=folder)
    wasted_s = free.loc[free["latency_p50_ms"] > limit_ms, "seconds"].sum()
    rejected = gated["outcome"] == "infeasible"
    spent_s = gated.loc[rejected, "seconds"].sum()
    saved = 100 * (1 - spent_s / wasted_s) if wasted_s else float("nan")
    trained = gated[gated["epochs"] > 0]
    over = (trained["latency_p50_ms"] / limit_ms - 1).max()
    print(
        f"{task}: of {trials} candidates {int((free['latency_p50_ms'] > limit_ms).sum())} were above {limit_ms:g} ms "
        f"without gates ({wasted_s:.1f} s), {int(rejected.sum())} infeasible with them ({spent_s:.1f} s): "
        f"saved {saved:.1f} %; of {len(trained)} that were trained the slowest was at "
        f"{100 * over:+.0f} % of the limit",
        flush=True,
    )


def _search(space: str, *overrides: str, seed: int, trials: int, out: str) -> pd.DataFrame:
    import harness

    asked = [*ALIKE, *overrides]
    return harness.search(space, overrides=asked, trials=trials, seed=seed, out=out, device="auto").trials


if __name__ == "__main__":
    main()
