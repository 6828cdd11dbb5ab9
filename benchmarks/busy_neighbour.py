"""Claim: beside a process that keeps one of two cores busy, ``harness search digits`` takes at most 1.6 times as long.

Run: ``python benchmarks/busy_neighbour.py [--trials 8] [--repeats 3] [--before DIR]`` on an idle machine. Each round
runs the command alone and beside a process that does nothing but compute, and with ``--before`` the same with the
checkout in DIR, one after the other, so that a slow spell of the machine falls on all. The cache of measured choices is
warm: each checkout has one of its own, filled by a run alone that is not counted. A ratio is that of two runs of one
round; what is printed is the least and the median of the rounds.
Measured on two cores of a shared first-generation EPYC, load 1.8 before, where a search alone has both cores and takes
24.4 to 25.2 s: beside over alone 1.31 (median; least 1.25). On a Zen 5, when one worker was the default, it was 1.06,
and 2.48 when trials still trained on two spinning threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
WAYS = ("alone", "beside")
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Computes for as long as the process lives that has started it."""


def main() -> None:
    """Time every way in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", type=Path, metavar="DIR", help="another checkout of harness")
    options = parser.parse_args()
    checkouts = {"this": HERE} | ({"before": options.before.resolve()} if options.before else {})
    print(f"load average before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, checkout in checkouts.items():
            seconds = _search(checkout, options.trials, Path(folder) / name)
            print(f"{name}: {seconds:.1f} s with a cold cache, not counted", flush=True)
        wall: dict[tuple[str, str], list[float]] = {(name, way): [] for name in checkouts for way in WAYS}
        for _ in range(options.repeats):
            for name, way in wall:
                with _busy_core() if way == "beside" else nullcontext():
                    wall[name, way].append(_search(checkouts[name], options.trials, Path(folder) / name))
        for (name, way), seconds_s in wall.items():
            print(f"{name}, {way}: {', '.join(f'{each:.1f}' for each in seconds_s)} s", flush=True)
        for name in checkouts:
            _tell(f"{name}: beside / alone", wall[name, "beside"], wall[name, "alone"])
        if options.before:
            for way in WAYS:
                _tell(f"{way}: this / before", wall["this", way], wall["before", way])


def _tell(what: str, over: Sequence[float], under: Sequence[float]) -> None:
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    print(f"{what}: least {min(ratios):.2f}, median {statistics.median(ratios):.2f}", flush=True)


def _search(checkout: Path, trials: int, folder: Path) -> float:
    """Return the wall seconds of one search with the code of a checkout and the cache in a folder."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "harness", "search", "digits", "--trials", str(trials), "--out", "runs"]
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)
    return time.perf_counter() - started


@contextmanager
def _busy_core() -> Iterator[None]:
    """Keep one core busy meanwhile."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    main()
