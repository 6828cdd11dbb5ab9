"""Claims: ``--help`` answers within 0.3 s, a typo within 1 s; a search of one trial takes 2.2 times what it must load.

Neither of the former loads torch. What a search of one trial takes, with its final model, baselines and report, is held
against loading torch, Optuna, scikit-learn and pandas.

    python benchmarks/startup.py [--rounds 11] [--searches 5]

It prints the median over fresh processes, beside an empty program and torch, and the ratio of the two commands, run in
turn, of wall time and of the time on processors, children included.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from harness.statistics import median_interval

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "harness --help": ["-m", "harness", "--help"],
    "harness tasks": ["-m", "harness", "tasks"],
    "harness search digitz": ["-m", "harness", "search", "digitz"],
    "import torch": ["-c", "import torch"],
}
LIBRARIES = ["-c", "import torch, optuna, sklearn, pandas"]
SEARCH = ["-m", "harness", "search", "digits", "--trials", "1"]


class Took(NamedTuple):
    """Seconds of a command."""

    wall_s: float
    cpu_s: float
    """With its children."""


def took(arguments: list[str], code: int = 0, **environment: str) -> Took:
    """Run a command and return what it took."""
    start, before = time.perf_counter(), _cpu_s()
    environment = {**os.environ, **environment}
    ended = subprocess.run([sys.executable, *arguments], check=False, capture_output=True, env=environment)
    assert ended.returncode == code, ended.stderr.decode()
    return Took(time.perf_counter() - start, _cpu_s() - before)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def answers(rounds: int) -> None:
    """Print how soon commands answer that train nothing."""
    for name, arguments in COMMANDS.items():
        seconds = [took(arguments, 2 if "digitz" in arguments else 0).wall_s for _ in range(rounds)]
        print(f"{name:21} {statistics.median(seconds):.3f} s (fastest {min(seconds):.3f}, slowest {max(seconds):.3f})")


def searches(rounds: int) -> None:
    """Print the ratio of a search of one trial to loading the libraries; the first search fills the caches."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*SEARCH, "--out", f"{folder}/results"]
        took(command, XDG_CACHE_HOME=folder)
        pairs = [(took(command, XDG_CACHE_HOME=folder), took(LIBRARIES)) for _ in range(rounds)]
    for kind in Took._fields:
        ratios = [getattr(search, kind) / getattr(libraries, kind) for search, libraries in pairs]
        middle, low, high = median_interval(ratios)
        ours, theirs = (statistics.median(getattr(pair[side], kind) for pair in pairs) for side in (0, 1))
        print(f"search / libraries, {kind}: {middle:.2f} ({low:.2f} to {high:.2f}); {ours:.2f} and {theirs:.2f} s")
    print(f"load {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Time every command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--searches", type=int, default=5)
    options = parser.parse_args()
    answers(options.rounds)
    searches(options.searches)


if __name__ == "__main__":
    main()
