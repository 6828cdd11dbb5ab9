"""Benchmark this machine twice and compare the two profiles.

Takes about half a minute. From the top of the checkout: ``python examples/compare_benchmarks.py``. With two runs of one
machine most rows should be ``same`` or ``inconclusive``; in earnest the second run comes after an update, or from
another machine.
"""

from pathlib import Path

from harness.bench import run_suite
from harness.bench.comparison.compare import compare_bench

before, after = (run_suite(level="quick", device="cpu", out=Path("results"), only=["copy"]) for _ in range(2))
for row in compare_bench(before, after).rows:
    interval = f"{row.estimate.low:.3f} to {row.estimate.high:.3f}"
    print(f"{row.case.label}: {row.verdict}, ratio {row.estimate.ratio:.3f} ({interval})")
