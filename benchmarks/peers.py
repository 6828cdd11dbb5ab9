"""Claim: a whole ``harness search`` takes a fraction of the time of what searches the same space by other means.

    python benchmarks/peers.py prepare DIR             # an environment for each peer, once
    python benchmarks/peers.py run --environments DIR
    python benchmarks/peers.py run --quick             # 4 trials each, of the peers that are installed here

Every command is run whole, from the start of its interpreter to its exit, in rounds in which all take their turn. All
read one space file and the same samples, train each candidate for 20 epochs and validate after each; nothing is pruned.
Ratios are of two commands of one round, with a bootstrap interval of their median over the rounds. Rows are written to
``--out`` as they come; those of a work that is measured anew replace its earlier ones of the same kind of machine.
docs/performance.md has what was measured.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from environments import ROOT, prepare
from measuring import CommandFailed, Measured, adopt_orphans, measure
from works import OURS, PEERS, QUICK_TRIALS, WORKS, Work, our_command, peer_command, shown

from harness.data import load
from harness.hardware.cpu import read_cpu
from harness.spec import load_spec
from results import Row, lines, read, write

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "asimd": "NEON"}
"""Sets of vector instructions, the widest first: the ratios depend on them, and a cloud's model name tells nothing."""


class Found(NamedTuple):
    """What a search came to."""

    best: float
    candidates: str
    versions: str


class Bench:
    """Runs the commands of arms in a scratch folder that has the split, the caches and our run folders."""

    def __init__(self, scratch: Path, environments: Path | None) -> None:
        self._scratch = scratch
        self._environments = environments
        self._split = scratch / "split.json"
        self._read: set[str] = set()
        """Scripts whose packages are in memory by now, as files that were read."""
        spec = load_spec(str(WORKS["mlp"].file()))
        parts = load(spec.task, seed=spec.task.split.seed).split_index
        self._split.write_text(json.dumps({part: parts[part].tolist() for part in ("train", "validation")}))

    def usable(self, work: Work, arms: Sequence[str]) -> Iterator[str]:
        """Yield the arms that get through one trial, which also reads their packages; say why the others do not."""
        for arm in arms:
            script = PEERS[arm].script if arm in PEERS else "harness"
            if arm in PEERS and arm not in work.peers:
                continue
            try:
                if script not in self._read:
                    self.run(arm, work, 1, self._scratch / "warm-up")
            except CommandFailed as failed:
                print(f"left out: {arm}: {failed}", file=sys.stderr)
            else:
                self._read.add(script)
                yield arm

    def row(self, arm: str, work: str, trials: int, number: int) -> Row:
        """Return what one command of one round took. Raises :class:`CommandFailed`."""
        caches = self._scratch / f"caches-{arm.removesuffix('-cold').removesuffix('-warm')}"
        if arm.endswith("-cold"):
            shutil.rmtree(caches, ignore_errors=True)
        elif arm.endswith("-warm") and not caches.is_dir():
            self.run(arm, WORKS[work], trials, caches)
        took, found, command = self.run(arm, WORKS[work], trials, caches)
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        about = (date, machine(), os.cpu_count() or 1, work, trials, number, arm)
        return Row(*about, round(took.wall_s, 3), round(took.cpu_s, 3), *found[:2], took.load, found.versions, command)

    def run(self, arm: str, work: Work, trials: int, caches: Path) -> tuple[Measured, Found, str]:
        """Run a command; return what it took, what it found, and the command."""
        if arm in PEERS:
            command = peer_command(PEERS[arm], work, trials, self._split, self._environments)
            if command is None:
                raise CommandFailed("its packages are not installed here; `peers.py prepare DIR` installs them")
            took = measure(command, {})
            return took, peer_found(took.output), shown(command)
        out = self._scratch / "runs"
        shutil.rmtree(out, ignore_errors=True)
        command = our_command(arm, work, trials, out)
        folders = {"XDG_CACHE_HOME": str(caches), "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor")}
        took = measure(command, {**folders, "PYTHONPATH": str(ROOT)})
        return took, our_found(out), shown(command)


def machine() -> str:
    """Return the processor's model and its widest vectors."""
    cpu = read_cpu()
    model, isa = cpu.model or cpu.architecture, cpu.isa or ()
    widest = next((vectors for name, vectors in VECTORS.items() if name in isa), "")
    return f"{model} with {widest}" if widest else model


def peer_found(output: str) -> Found:
    """Read the last line that a peer printed."""
    said: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    return Found(said["best"], digest([trial["params"] for trial in said["trials"]]), versions)


def our_found(out: Path) -> Found:
    """Read the only run below ``out``."""
    (run,) = (path.parent for path in out.glob("*/trials.parquet"))
    trials = pd.read_parquet(run / "trials.parquet").sort_values("trial")
    packages = json.loads((run / "environment.json").read_text())["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "optuna"))
    return Found(float(trials["value"].max()), digest([json.loads(params) for params in trials["params"]]), versions)


def digest(candidates: Sequence[dict[str, Any]]) -> str:
    """Return what is equal where the parameters are, in their order."""
    return hashlib.sha256(json.dumps(candidates, sort_keys=True).encode()).hexdigest()[:12]


def run(options: argparse.Namespace) -> None:
    """Measure each work, and print a table of it."""
    adopt_orphans()
    earlier = read(options.out)
    kept = earlier[~earlier["work"].isin(options.works) | (earlier["machine"] != machine())]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), options.environments)
        for name in options.works:
            trials = QUICK_TRIALS if options.quick else WORKS[name].trials
            arms, found = list(bench.usable(WORKS[name], options.arms)), []
            for number in range(options.rounds):
                for arm in arms:
                    found.append(bench.row(arm, name, trials, number))
                    write(options.out, pd.concat([kept, pd.DataFrame(found)]))
            kept = read(options.out)
            show(WORKS[name].title, trials, pd.DataFrame(found))


def show(title: str, trials: int, rows: pd.DataFrame) -> None:
    """Print the table of a work."""
    loads = f"{rows['load'].min():.1f} to {rows['load'].max():.1f}"
    print(f"\n{title}: {trials} trials, {rows['round'].nunique()} rounds, load {loads}")
    for arm, *cells in lines(rows, tuple(OURS)):
        print(f"{arm:<18}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def names(known: Sequence[str]) -> Any:
    """Return what reads a list of known names."""

    def parse(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return text.split(",")

    return parse


def main() -> None:
    """Prepare, or run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare").add_argument("folder", type=Path)
    measuring = commands.add_parser("run")
    measuring.add_argument("--environments", type=Path, help="the folder that was prepared")
    measuring.add_argument("--works", type=names(tuple(WORKS)), default=list(WORKS), help=f"of {','.join(WORKS)}")
    arms = (*PEERS, *OURS)
    measuring.add_argument("--arms", type=names(arms), default=list(arms), help=f"of {','.join(arms)}")
    measuring.add_argument("--rounds", type=int, default=5)
    measuring.add_argument("--quick", action="store_true", help=f"{QUICK_TRIALS} trials of each work, one round")
    measuring.add_argument("--out", type=Path, default=Path("peers.csv"))
    options = parser.parse_args()
    if options.command == "prepare":
        failed = prepare(options.folder)
        sys.exit("\n".join(f"{name}: not installed: {why}" for name, why in failed.items()) or None)
    options.rounds = 1 if options.quick else options.rounds
    run(options)


if __name__ == "__main__":
    main()
