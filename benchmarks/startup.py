"""Claim: ``harness --help`` answers within 0.3 s and a typo within 1 s, since neither loads torch.

Run: ``python benchmarks/startup.py``. It prints the median over fresh processes, beside an empty program and torch.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "harness --help": ["-m", "harness", "--help"],
    "harness tasks": ["-m", "harness", "tasks"],
    "harness search digitz": ["-m", "harness", "search", "digitz"],
    "import torch": ["-c", "import torch"],
}


def main() -> None:
    """Time every command eleven times."""
    for name, arguments in COMMANDS.items():
        seconds = []
        for _ in range(11):
            start = time.perf_counter()
            code = subprocess.run([sys.executable, *arguments], check=False, capture_output=True).returncode
            seconds.append(time.perf_counter() - start)
            assert code == (2 if "digitz" in arguments else 0)
        print(f"{name:21} {statistics.median(seconds):.3f} s (fastest {min(seconds):.3f}, slowest {max(seconds):.3f})")


if __name__ == "__main__":
    main()
