"""Claim: no shipped space is searched more slowly than with ``--plan safe`` by more than 3 %.

    python benchmarks/safe_plan.py [--spaces digits,tabular] [--trials 8] [--epochs 4] [--rounds 5] [--cold]

Whole commands, in turn: the usual plans, and those by rule, of one trial at a time. Each arm has a cache of its own,
filled by a first search of it that does not count; with ``--cold`` every search begins with an empty one. Told are the
medians of wall time and of processor time, and their ratios to the safe arm with bootstrap 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from harness.statistics import median_interval

SPACES = ("digits", "tabular", "fashion-mnist")
TASKS = {"tabular": "wine"}
"""Built-in tasks of the spaces that have none of their own."""


class Took(NamedTuple):
    """What a whole search took, and what it came to."""

    wall_s: float
    cpu_s: float
    value: float


class Arm:
    """A way to plan, with a cache of its own."""

    def __init__(self, plan: str, space: str, folder: Path, options: argparse.Namespace) -> None:
        self._folder, self._cold = folder / plan, options.cold
        self._folder.mkdir()
        self._command = [sys.executable, "-m", "harness", "search", TASKS.get(space, space), "--plan", plan, "--json"]
        self._command += ["--trials", str(options.trials), "--set", f"budget.epochs={options.epochs}"]
        self._command += ["--set", "budget.time=null", "--out", str(self._folder / "results")]

    def search(self) -> Took:
        """Search once."""
        with tempfile.TemporaryDirectory() as empty:
            cache = empty if self._cold else str(self._folder / "cache")
            start, before = time.perf_counter(), _cpu_s()
            environment = {**os.environ, "XDG_CACHE_HOME": cache}
            ended = subprocess.run(self._command, check=True, capture_output=True, env=environment)
            wall_s, cpu_s = time.perf_counter() - start, _cpu_s() - before
        best = json.loads(ended.stdout)["best"]
        return Took(wall_s, cpu_s, next(iter(best["validation"].values())))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(space: str, options: argparse.Namespace) -> None:
    """Search a space both ways in turn, and print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        usual, safe = (Arm(plan, space, Path(folder), options) for plan in ("auto", "safe"))
        if not options.cold:
            usual.search()
            safe.search()
        pairs = [(usual.search(), safe.search()) for _ in range(options.rounds)]
    for kind in ("wall_s", "cpu_s"):
        ratios = [getattr(one, kind) / getattr(other, kind) for one, other in pairs]
        middle, low, high = median_interval(ratios)
        medians = [statistics.median(getattr(pair[side], kind) for pair in pairs) for side in (0, 1)]
        figures = f"{middle:.3f} ({low:.3f} to {high:.3f}); {medians[0]:.1f} and {medians[1]:.1f} s"
        print(f"{space:14} auto / safe, {kind}: {figures}", flush=True)
    print(f"{space:14} values {pairs[0][0].value:.4f} and {pairs[0][1].value:.4f}; load {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Compare on each space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", default=",".join(SPACES))
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="empty caches for every search")
    options = parser.parse_args()
    for space in options.spaces.split(","):
        compare(space, options)


if __name__ == "__main__":
    main()
