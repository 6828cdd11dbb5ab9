"""Claim: on two CPU cores digits reaches 0.965 test accuracy in two minutes; of Fashion-MNIST tells ``fashion.py``.

Run: ``python benchmarks/shipped_spaces.py [digits] [--seeds 3]``. Each search is the command that a
user would type, ``harness search SPACE``, in a process of its own; what is printed is its one look at the test
samples.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time


def main() -> None:
    """Search every space with every seed, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spaces", nargs="*", default=["digits"])
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    for space in options.spaces:
        for seed in range(options.seeds):
            print(search(space, seed), flush=True)


def search(space: str, seed: int) -> str:
    """Run one search and return its line."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "harness", "search", space, "--seed", str(seed), "--out", out, "--json"]
        started = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
        seconds = time.perf_counter() - started
    result = json.loads(done.stdout)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(result["trials"].items()))
    test, validation = result["test"]["accuracy"], result["best"]["validation"]["accuracy"]
    return f"{space} seed {seed}: test accuracy {test:.4f} (validation {validation:.4f}) in {seconds:.0f} s; {outcomes}"


if __name__ == "__main__":
    main()
