"""How often `harness bench compare` is wrong: differences called between two runs of one machine, slow-downs missed.

    python benchmarks/compare_error_rates.py [--runs 10] [--only matmul --only copy ...]

An A/A test compares runs that differ in nothing; a planted slow-down multiplies every time of the second run by 1.1.

Rows of 40 simulated runs, whose rounds of 10 blocks that scatter by 1 % are each slowed, never sped up, by a drift that
is also that of a row from run to run (`--runs 0`):

| drift | rounds | A/A: called different | x 1.1: found |
| --- | --- | --- | --- |
| 0 % | 2 | 0.0 % | 100.0 % |
| 1 % | 2 | 1.1 % | 98.8 % |
| 2 % | 2 | 2.9 % | 73.6 % |
| 0 % | 5 | 0.0 % | 100.0 % |
| 1 % | 5 | 0.7 % | 99.9 % |
| 2 % | 5 | 1.6 % | 76.8 % |

A change of 10 % can be told from nothing by one run each as long as a machine comes back to its own times within 1 % or
so. Ten quick runs on two virtual cores of an AMD EPYC whose host is shared: of 342 rows 2.9 % were called different and
5.3 % of a planted 10 % were found (64 rows were confounded by contention; with that allowed, 3.2 % and 5.3 %). Rows
there move by 15 % from process to process even at their minimum, which no statistics of one minute can undo: the
comparison is seldom wrong there, and seldom sure. Two standard runs half an hour apart: 3 of 47 rows called different,
32 % of a planted 10 % found. On a quiet machine it has not been measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from harness.bench.comparison.compare import Comparison, compare_runs
from harness.bench.comparison.runs import BenchRun, load_bench
from harness.bench.comparison.verdict import Verdict
from harness.bench.rows import Case
from harness.bench.suite import run_suite
from harness.cli.bench_progress import make_display

PLANTED = 1.10
SIMULATED_ROWS = 24
SIMULATED_RUNS = 40
BLOCKS = 10
"""Of a round."""
ROUNDS = (2, 5)
"""Of a quick run, and of a standard one."""
BLOCK_NOISE = 0.01
DRIFTS = (0.0, 0.01, 0.02)
"""Standard deviations, on the logarithm: of a row from run to run, and of what slows a round and never speeds it up."""


def slowed(run: BenchRun, factor: float) -> BenchRun:
    """Return the run as if every call had taken ``factor`` as long."""
    rows = {case: {**row, "t_median_s": row["t_median_s"] * factor} for case, row in run.rows.items()}
    rounds = {
        case: tuple(tuple(factor * seconds for seconds in blocks) for blocks in each)
        for case, each in run.rounds.items()
    }
    return dataclasses.replace(run, rows=rows, rounds=rounds)


def simulated(drift: float, rounds: int, generator: np.random.Generator) -> BenchRun:
    """Return a run whose rows moved against each other since the last one, and whose rounds were each disturbed."""
    rows, times = {}, {}
    for place in range(SIMULATED_ROWS):
        case = Case(bench="simulated", variant=str(place))
        slower_R1 = np.abs(generator.normal(0, drift, (rounds, 1)))
        noise_RB = generator.normal(0, BLOCK_NOISE, (rounds, BLOCKS))
        seconds_RB = np.exp(generator.normal(0, drift) + slower_R1 + noise_RB)
        times[case] = tuple(map(tuple, seconds_RB.tolist()))
        rows[case] = {"status": "ok", "t_median_s": float(np.median(seconds_RB))}
    return BenchRun("simulated", rows, times, {"device": "cpu"})


def tell(name: str, runs: Sequence[BenchRun], allow: Sequence[str] = ()) -> None:
    """Print the rates over neighbouring runs."""
    kinds: tuple[tuple[str, float, Callable[[Counter[Verdict]], int]], ...] = (
        ("A/A", 1.0, lambda count: count[Verdict.FASTER] + count[Verdict.SLOWER]),
        (f"x {PLANTED}", PLANTED, lambda count: count[Verdict.SLOWER]),
    )
    for kind, factor, wrong in kinds:
        compared = [compare_runs(a, slowed(b, factor), allow=allow) for a, b in pairwise(runs)]
        count = _verdicts(compared)
        total = sum(count.values())
        share = wrong(count) / max(total, 1)
        what = "called different" if factor == 1 else "found slower"
        print(f"{name:<34} {kind:<6} {what} {100 * share:5.1f} % of {total} rows  {_listed(count)}")


def _verdicts(compared: Sequence[Comparison]) -> Counter[Verdict]:
    timed = [row for each in compared for row in each.rows if row.estimate.ratio == row.estimate.ratio]
    return Counter(row.verdict for row in timed)


def _listed(count: Counter[Verdict]) -> str:
    return ", ".join(f"{count[verdict]} {verdict}" for verdict in Verdict if count[verdict])


def measured(runs: int, only: Sequence[str], device: str, folder: Path) -> list[BenchRun]:
    """Return so many runs of this machine, one after the other, each in processes of its own."""
    found = []
    for _ in range(runs):
        with make_display() as display:
            run = run_suite(level="quick", device=device, out=folder, only=only, observer=display)
        found.append(load_bench(run))
    return found


def main() -> None:
    """Print the rates of simulated runs, then of this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    for rounds, drift in product(ROUNDS, DRIFTS):
        runs = [simulated(drift, rounds, generator) for _ in range(SIMULATED_RUNS)]
        tell(f"simulated, {rounds} rounds, {100 * drift:.0f} % drift", runs)
    if options.runs > 1:
        with tempfile.TemporaryDirectory() as folder:
            runs = measured(options.runs, options.only, options.device, Path(folder))
        tell("measured", runs)
        tell("measured, contention allowed", runs, ["contention"])


if __name__ == "__main__":
    main()
