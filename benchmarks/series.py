"""Claim: the shipped space ``series`` is as good as published models on real time series.

Run: ``python benchmarks/series.py [--sets GunPoint,OSULeaf] [--trials 4] [--seed 0]
[--set KEY=VALUE] [--data FOLDER] [--out results/series]``. The official training parts are searched with
``harness.search``, in this process on one thread, and the official test parts are predicted once, by the winner; the
baselines that the report has, MiniRocket of the package aeon among them where it is installed, learn from the same
series. A row of ``series.csv`` for each set has the accuracies and the CPU seconds of the whole search, baselines
included. ``--data`` is the folder of the sets where aeon is not installed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from series_sets import MULTIVARIATE, UNIVARIATE, sets_folder, task_of

import harness


def main() -> None:
    """Search each set, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join((*UNIVARIATE, *MULTIVARIATE)), help="names, separated by commas")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="overrides a key of the space, as in a search")
    parser.add_argument("--data", type=Path, help="the folder of the sets, each in a folder of its own")
    parser.add_argument("--out", type=Path, default=Path("results/series"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in options.sets.split(","):
        rows.append(row_of(name, options))
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    frame = pd.DataFrame(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(options.out / "series.csv", index=False)
    six = frame[frame["set"].isin(UNIVARIATE)]
    if len(six):
        print(
            f"mean accuracy of {len(six)} univariate sets: {six['accuracy'].mean():.4f}, CPU {six['cpu_s'].sum():.0f} s"
        )
    print(f"load at the end: {os.getloadavg()}")


def row_of(name: str, options: argparse.Namespace) -> Mapping[str, Any]:
    """Search one set."""
    before, started = time.process_time(), time.perf_counter()
    result = harness.search(
        "series",
        overrides=[task_of(options.data or sets_folder(), name), *options.set],
        trials=options.trials,
        seed=options.seed,
        workers=0,
        plan="safe",
        out=options.out,
    )
    best = result.best
    assert best is not None, f"{name}: no trial was completed"
    return {
        "set": name,
        "accuracy": result.test["accuracy"],
        "family": next(iter(best["candidate"]["architecture"])),
        "cpu_s": time.process_time() - before,
        "wall_s": time.perf_counter() - started,
        **{row["name"]: (row["test"] or {}).get("accuracy") or row["note"] for row in result.stats["baselines"] or ()},
    }


if __name__ == "__main__":
    main()
