"""Kill searches with SIGKILL, resume them, and hold what comes out against a search that was left alone.

    python tests/chaos.py --kills 200

Every killed search is resumed until it is complete. Then all its trials and epochs must equal those of the undisturbed
search in every column that is not measured, no trial may be open in the study, and no trial that was acknowledged may
have been trained again. A third of the kills hit the coordinator at a random moment, a third hit it at a persistence
step (before or after a file is synced, renamed or removed, and before or after a transaction), and a third hit a worker
process, now and then together with its coordinator.

Searches are forked off a process that has imported everything and run nothing, which saves seconds for each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil

import harness.api
import harness.study.search
from harness.spec import load_spec
from harness.store import TIMED_COLUMNS, StudyDatabase

SPACE = """
task: {builtin: digits, limit: 300}
objective: accuracy
budget: {trials: TRIALS, epochs: 4, checkpoint_time: 0.01, retries: 100}
search: {pruner: PRUNER, deterministic: true, sampler: tpe, baselines: false, checks: false}
training: {precision: fp32}
space:
  architecture: {mlp: {depth: [0, 1], width: {int: [8, 32], log: true}, dropout: {float: [0, 0.3]}}}
  optimizer: {sgd: {lr: {float: [1e-2, 0.3], log: true}, momentum: 0.9}}
  batch_size: [16, 32]
"""
TIMED_EPOCH_COLUMNS = ("train_s", "validation_s", "train_samples_s")
LIFE_S = 120.0
"""No life of a search takes as long as that."""


class Failure(Exception):
    """What must never happen has happened."""


@dataclass
class Life:
    """One process of a search, from its start to its end or its death."""

    pid: int
    said: int
    """The end of the pipe on which it says what it acknowledges."""
    text: bytes = b""

    def listen(self, timeout_s: float) -> None:
        """Take in what it says for a while."""
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            if select.select([self.said], [], [], left)[0]:
                piece = os.read(self.said, 65536)
                if not piece:
                    return
                self.text += piece

    def wait(self) -> int:
        """Return the status with which it ended."""
        self.listen(LIFE_S)
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            time.sleep(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise Failure("a search hung")
        os.close(self.said)
        return status

    @property
    def events(self) -> list[tuple[str, int]]:
        """Return what was said, whole lines only."""
        lines = self.text.decode().split("\n")[:-1]
        return [(line.split()[0], int(line.split()[1])) for line in lines]


@dataclass
class Search:
    """One search through all its lives."""

    out: Path
    space: Path
    workers: int
    kills: int = 0
    acknowledged: set[int] = field(default_factory=set)
    trained_again: set[int] = field(default_factory=set)

    @property
    def run(self) -> Path | None:
        """The run folder, once there is one that can be resumed."""
        runs = sorted(self.out.glob("*/status.json"))
        return runs[0].parent if runs else None

    def begin(self, prepare: Callable[[], None] = lambda: None) -> Life:
        """Fork a life that starts or resumes the search."""
        for half in self.out.glob("*"):
            if not (half / "status.json").exists():
                shutil.rmtree(half)  # killed before it could say what it was
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._live(writing, prepare)
        os.close(writing)
        return Life(pid, reading)

    def _live(self, writing: int, prepare: Callable[[], None]) -> None:
        code = 1
        try:
            os.setsid()
            log = os.open(self.out.parent / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            prepare()
            harness.api.search(
                str(self.space),
                out=self.out,
                resume=self.run,
                workers=self.workers,
                observer=_Teller(writing),
                argv=["chaos"],
            )
            code = 0
        finally:
            if sys.exc_info()[0] is not None:
                import traceback

                traceback.print_exc()
            os._exit(code)

    def end(self, life: Life) -> bool:
        """Take in how a life ended; return whether the search is complete."""
        status = life.wait()
        for what, trial in life.events:
            if what == "started" and trial in self.acknowledged:
                self.trained_again.add(trial)
            if what == "ended":
                self.acknowledged.add(trial)
        if os.WIFSIGNALED(status):
            if os.WTERMSIG(status) != signal.SIGKILL:
                raise Failure(f"a search died of signal {os.WTERMSIG(status)}")
            self.kills += 1
            return False
        if os.WEXITSTATUS(status) != 0:
            raise Failure(f"a search ended with code {os.WEXITSTATUS(status)}; see {self.out.parent / 'log.txt'}")
        return True

    def check(self, expected: dict[str, str], *, halving: bool) -> None:
        """Raise :class:`Failure` unless the search has come to the same end as the one left alone."""
        found = outcome_of(self.run)
        for name, text in expected.items():
            if found[name] != text:
                raise Failure(f"{name} differs from the undisturbed search: {self.run}")
        trials = {row["trial"] for row in json.loads(found["trials"])}
        if lost := self.acknowledged - trials:
            raise Failure(f"acknowledged trials were lost: {sorted(lost)}")
        if self.trained_again and not halving:
            raise Failure(f"acknowledged trials were trained again: {sorted(self.trained_again)}")


class _Teller(harness.study.Observer):
    """Says on a pipe, at once, which trials are started and which are acknowledged."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def trial_started(self, number, _params):
        os.write(self._descriptor, b"started %d\n" % number)

    def trial_ended(self, record):
        if record.outcome != "interrupted":
            os.write(self._descriptor, b"ended %d\n" % record.trial)


def outcome_of(run: Path) -> dict[str, str]:
    """Return what must be equal, as text."""
    trials = pd.read_csv(run / "trials.csv").drop(columns=list(TIMED_COLUMNS))
    epochs = pd.read_parquet(run / "epochs.parquet").drop(columns=list(TIMED_EPOCH_COLUMNS))
    stats = json.loads((run / "stats.json").read_text())
    with sqlite3.connect(run / "study.db") as connection:
        states = connection.execute("select number, state from trials order by number").fetchall()
    files = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    # Each command that worked on the run leaves a part.
    kept = [name for name in files if not name.startswith(("telemetry/", "parts/", "."))]
    return {
        "trials": trials.to_json(orient="records"),
        "epochs": epochs.to_json(orient="records"),
        "best": json.dumps([stats["best"]["trial"], stats["best"]["params"], stats["test"]["metrics"]]),
        "states": json.dumps(states),
        "files": json.dumps(kept),
    }


def count_steps(counter: list[int]) -> None:
    """Count the persistence steps of this process; at step ``counter[1]`` it kills itself."""

    def stepping(function):
        def stepped(*args, **kwargs):
            step()
            result = function(*args, **kwargs)
            step()
            return result

        return stepped

    def step() -> None:
        counter[0] += 1
        if counter[0] == counter[1]:
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = stepping(os.fsync)
    Path.replace = stepping(Path.replace)
    Path.unlink = stepping(Path.unlink)
    for name in ("begin", "finish", "keep"):
        setattr(StudyDatabase, name, stepping(getattr(StudyDatabase, name)))


def leave_alone(search: Search) -> tuple[float, dict[str, str]]:
    """Run a search without a kill; return its seconds and its outcome."""
    started = time.monotonic()
    if not search.end(search.begin()):
        raise Failure("somebody else killed a search")
    return time.monotonic() - started, outcome_of(search.run)


def kill_at_moments(search: Search, chance: random.Random, seconds: float, kills: int) -> None:
    """Kill the coordinator so often, each life at a random moment, and then let the search end."""
    while search.kills < kills:
        life = search.begin()
        life.listen(chance.uniform(0, seconds))
        with suppress(ProcessLookupError):
            os.kill(life.pid, signal.SIGKILL)
        if search.end(life):
            return
    if not search.end(search.begin()):
        raise Failure("somebody else killed a search")


def kill_at_steps(search: Search, steps: Iterator[int], kills: int) -> None:
    """Kill the coordinator so often, each life at the next of the persistence steps, and then let the search end."""
    while search.kills < kills:
        counter = [0, next(steps)]
        if search.end(search.begin(lambda counter=counter: count_steps(counter))):
            return
    if not search.end(search.begin()):
        raise Failure("somebody else killed a search")


def strides(chance: random.Random) -> Iterator[int]:
    """Yield numbers of persistence steps, from the first on in strides of any length, over and over."""
    step = 0
    while True:
        step = step + chance.randint(1, STRIDE) if step < STEPS else 1
        yield step


def kill_workers(search: Search, chance: random.Random, kills: int) -> None:
    """Kill workers at random moments, and now and then the coordinator as well; then let the search end."""
    killed = 0
    while True:
        life = search.begin()
        while killed < kills:
            life.listen(chance.uniform(0.0, 1.0))
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(life.pid).children(recursive=True)
                workers = [child for child in children if child.name() == "harness-worker"]
                if not workers:
                    if psutil.Process(life.pid).status() == psutil.STATUS_ZOMBIE:
                        break
                    continue
                chance.choice(workers).kill()
                killed += 1
                if chance.random() < 0.1:
                    os.kill(life.pid, signal.SIGKILL)
                    killed += 1
                    break
        if search.end(life):
            search.kills = killed
            return


def main() -> None:
    """Kill as often as asked, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--kinds", nargs="+", default=["moment", "step", "worker"])
    parser.add_argument("--pruners", nargs="+", default=["none", "asha"])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="harness-chaos-"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    kills: Counter[str] = Counter()
    share = -(-options.kills // (len(options.kinds) * len(options.pruners)))
    started = time.monotonic()
    for pruner in options.pruners:
        space = folder / f"{pruner}.yaml"
        space.write_text(SPACE.replace("TRIALS", str(options.trials)).replace("PRUNER", pruner))
        load_spec(str(space))
        searches = iter(range(10_000))

        def new(workers: int, pruner: str = pruner, space: Path = space, searches=searches) -> Search:
            out = folder / f"{pruner}-{next(searches)}" / "runs"
            out.mkdir(parents=True)
            return Search(out, space, workers)

        seconds, expected = leave_alone(new(0))
        seconds, _ = leave_alone(new(0))
        halving = pruner == "asha"
        for kind in options.kinds:
            done, steps = 0, strides(chance)
            while done < share:
                search = new(2 if kind == "worker" else 0)
                if kind == "moment":
                    kill_at_moments(search, chance, seconds, min(IN_A_ROW, share - done))
                elif kind == "step":
                    kill_at_steps(search, steps, min(IN_A_ROW, share - done))
                else:
                    kill_workers(search, chance, min(12, share - done))
                search.check(expected, halving=halving)
                done += search.kills
                kills[kind] += search.kills
                print(f"{pruner}: {dict(kills)} after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
                shutil.rmtree(search.out.parent)
    shutil.rmtree(folder)
    counts = ", ".join(f"{count} {kind}" for kind, count in kills.items())
    print(
        f"{sum(kills.values())} SIGKILLs ({counts}) in {time.monotonic() - started:.0f} s: "
        "0 acknowledged trials lost, 0 open, everything equal to the undisturbed search"
    )


IN_A_ROW = 5
"""Kills of one coordinator before its search is let go to its end."""
STEPS, STRIDE = 280, 9
"""About how many persistence steps a search has; they are passed through in random strides of up to so many."""

if __name__ == "__main__":
    main()
