"""What a user lives through with worker processes: real searches, real signals, and nothing lost or left behind.

Coordinators are forked off a process that has imported everything and run nothing, which saves seconds for each.
"""

import csv
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from harness.hardware import usable_cores
from harness.store import TIMED_COLUMNS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks what has loaded torch, and asks the kernel"),
    pytest.mark.usefixtures("without_charts"),
]
two_cores = pytest.mark.skipif(usable_cores() < 2, reason="two workers want two cores")

PATIENCE_S = 120.0
"""Nothing here takes as long as that, on a busy machine neither."""

MODULE = """
import os, signal, sys, time
from torch import is_grad_enabled, nn

IN_A_WORKER = "harness.study.execute.worker" in sys.modules
MOODS = {
    "calm": lambda: None,
    "slow": lambda: time.sleep(0.1),
    "stuck": lambda: time.sleep(600),
    "faults": lambda: os.kill(os.getpid(), signal.SIGSEGV),
}


class Moody(nn.Sequential):
    def forward(self, x):
        if IN_A_WORKER and self.mood != "calm" and (self.mood == "stuck" or (self.training and is_grad_enabled())):
            with open("steps", "a") as file:
                file.write(f"{os.getpid()}\\n")
            MOODS[self.mood]()
        return super().forward(x)


def build(shape, mood, width):
    model = Moody(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, shape.outputs))
    model.mood = mood
    return model
"""

SPACE = """
task: {{builtin: digits, limit: 300}}
objective: accuracy
budget: {{trials: 4, epochs: 4, checkpoint_time: 0.1}}
search: {{sampler: grid, pruner: none, deterministic: true, seed: {seed}, baselines: false, checks: false}}
training: {{precision: fp32}}
space:
  architecture: {{moody: {{family: "moody:build", mood: {moods}, width: {widths}}}}}
  optimizer: {{sgd: {{lr: 0.1}}}}
  batch_size: 64
"""

LAUNCHER = """
import json, os, signal, sys
import plotly.graph_objects, sklearn.datasets, torch._dynamo
import harness.api, harness.cli.console, harness.cli.progress
from harness.cli import command

for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
    elif pid := os.fork():
        print(pid, flush=True)
    else:
        os.setsid()
        for number in asked["ignored"]:
            signal.signal(number, signal.SIG_IGN)
        os.chdir(asked["folder"])
        for descriptor, name in enumerate(["/dev/null", "out", "err"]):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.argv = ["harness", *asked["arguments"]]
        command()
"""


def read_stats(run):
    return json.loads((Path(run) / "stats.json").read_text())


def rows(run):
    """Return trials.csv as text cells, without the columns that measure time or the machine."""
    with (Path(run) / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMED_COLUMNS} for row in csv.DictReader(file)]


def told(run):
    """Return everything that a run found out and that is not measured."""
    stats = read_stats(run)
    return rows(run), stats["best"]["trial"], stats["best"]["params"], stats["test"]["metrics"]


def state_of(run):
    return json.loads((run / "status.json").read_text())["state"]


def states_in_study(run):
    with closing(sqlite3.connect(run / "study.db")) as connection:
        return [state for (state,) in connection.execute("select state from trials order by number")]


def wait_for(condition, what):
    """Return the first result of ``condition`` that is true."""
    until = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.01)
    return result


def alive(*pids):
    """Return those of the processes that have not ended."""
    left = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                left.append(pid)
    return left


class Life:
    """A coordinator in a process of its own, and what it has said."""

    def __init__(self, pid, folder, reap):
        self.pid = pid
        self.folder = folder
        self._reap = reap
        self.code = None

    @property
    def out(self):
        return (self.folder / "out").read_text()

    @property
    def err(self):
        return (self.folder / "err").read_text()

    @property
    def run(self):
        (run,) = (self.folder / "runs").iterdir()
        return run

    def begun(self):
        """Return the workers once the run has begun; some start before, while the data are loaded."""
        runs = self.folder / "runs"
        return self.workers() if runs.is_dir() and any((run / "status.json").exists() for run in runs.iterdir()) else []

    def steps(self):
        """Return who has made a training step: the workers' process ids, once for each."""
        path = self.folder / "steps"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def workers(self):
        """Return the process ids of the workers that there are."""
        pids = []
        for child in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # others come and go while the machine is described
                if child.name() == "harness-worker" and child.status() != psutil.STATUS_ZOMBIE:
                    pids.append(child.pid)
        return pids

    def workers_busy(self, count, steps=3):
        """Wait until so many workers have made so many steps each, and return their process ids."""

        def busy():
            assert alive(self.pid), self.err
            made = self.steps()
            pids = sorted({pid for pid in made if made.count(pid) >= steps})
            return pids if len(pids) >= count else None

        return wait_for(busy, f"the start of {count} workers")

    def end(self):
        """Wait for its end and return its exit code, or minus the number of the signal that killed it."""
        if self.code is None:
            wait_for(lambda: not alive(self.pid), "the end of the search")
            self.code = self._reap(self.pid)
        return self.code


@pytest.fixture(scope="module")
def launcher():
    """Return a function that asks the process from which coordinators are forked."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", LAUNCHER], env=environment, text=True, **pipes) as process:

        def ask(**asked):
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield ask
        process.stdin.close()


@pytest.fixture
def begin(launcher, folder):
    """Return a function that starts a search in a process of its own, in its own session as a terminal's."""
    lives = []

    def begin(space, *, workers=2, ignored=()):
        asked = ["search", str(space), "--trust", "--out", "runs", "--workers", str(workers)]
        pid = launcher(arguments=asked, folder=str(folder), ignored=[int(number) for number in ignored])
        lives.append(Life(pid, folder, lambda pid: launcher(wait=pid)))
        return lives[-1]

    yield begin
    for life in lives:
        if life.code is None:
            with suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGKILL)
            life.end()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a module of the user's own, which misbehaves in worker processes only."""
    (tmp_path / "moody.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return tmp_path


@pytest.fixture
def space(folder):
    """Return a function that writes a space: one trial for each mood and width, in an order that the seed decides."""

    def space(moods="slow", widths="[8, 12, 16, 20]", seed=0):
        path = folder / "space.yaml"
        path.write_text(SPACE.format(moods=moods, widths=widths, seed=seed))
        return path

    return space


@pytest.fixture
def here(harness, folder):
    """Return a function that coordinates a search in this process, and trains there too unless told otherwise."""

    def here(*arguments):
        done = harness("search", *arguments, "--trust", "--out", "elsewhere", "--json")
        assert done.code == 0, done.err
        return folder / json.loads(done.out)["run"]

    return here


_UNDISTURBED = {}


@pytest.fixture
def undisturbed(here, space):
    """What a search of the space comes to that trains in one process and is left alone."""
    if not _UNDISTURBED:
        _UNDISTURBED["told"] = told(here(space()))
    return _UNDISTURBED["told"]


@two_cores
def test_any_number_of_workers_comes_to_the_same(here, tiny):
    task = "task={builtin: digits, limit: 300}"
    asked = (tiny, "--set", task, "--set", "budget.epochs=3", "--deterministic", "--trials", 10, "--pruner", "asha")
    runs = [here(*asked, "--workers", workers) for workers in (0, 1, 2)]
    first, one, two = map(told, runs)
    assert len(first[0]) == 10
    assert {row["outcome"] for row in first[0]} == {"complete", "pruned"}
    assert one == first
    assert two == first


@two_cores
def test_a_worker_that_is_killed_costs_an_attempt_and_nothing_else(begin, space, undisturbed):
    life = begin(space())
    workers = life.workers_busy(2, steps=6)
    os.kill(min(workers, key=life.steps().count), signal.SIGKILL)  # the one that is in the middle of its first trial
    assert life.end() == 0, life.err
    assert told(life.run) == undisturbed
    trials = pd.read_parquet(life.run / "trials.parquet")
    assert sorted(trials["attempts"]) == [1, 1, 1, 2]
    (again,) = trials[trials["attempts"] == 2].to_dict("records")
    assert again["outcome"] == "complete"
    assert again["lost_s"] > 0
    assert trials.loc[trials["attempts"] == 1, "lost_s"].tolist() == [0.0] * 3
    (lost,) = [row for row in read_stats(life.run)["ledger"]["rows"] if row["what"] == "lost"]
    assert (lost["trials"], lost["device_s"]) == (1, again["lost_s"])
    assert not alive(*workers)


def test_a_module_that_ends_its_worker_is_given_up_with_the_reason(here, space):
    run = here(space("[calm, faults]", "8"), "--workers", 1)
    trials = pd.read_parquet(run / "trials.parquet").set_index("param.architecture.moody.mood")
    assert trials["outcome"].to_dict() == {"calm": "complete", "faults": "crashed"}
    assert trials.loc["faults", "reason"] == "its worker died of SIGSEGV, 2 times"
    assert trials["attempts"].to_dict() == {"calm": 1, "faults": 2}
    assert trials.loc["faults", "lost_s"] > 0
    assert trials.loc["faults", "reason"] in (run / "report.md").read_text()


SIGNALS = {
    "Ctrl-C in a terminal": (os.killpg, signal.SIGINT, 2),
    "a scheduler's request": (os.kill, signal.SIGTERM, 1),
    "a terminal that is closed": (os.killpg, signal.SIGHUP, 1),
}


@two_cores
@pytest.mark.parametrize("how", SIGNALS)
def test_a_signal_ends_cleanly_and_the_run_goes_on_as_if_undisturbed(how, begin, here, space, undisturbed):
    send, number, count = SIGNALS[how]
    life = begin(space(), workers=count)
    workers = life.workers_busy(count)
    send(life.pid, number)
    assert life.end() == 128 + number, life.err
    assert not alive(*workers)
    assert "Traceback" not in life.err
    assert f"go on with: harness search --resume {life.run.relative_to(life.folder)}" in life.out
    assert state_of(life.run) == "interrupted"
    assert here("--resume", life.run) == life.run
    assert told(life.run) == undisturbed
    assert states_in_study(life.run) == ["COMPLETE"] * 4


@two_cores
def test_ctrl_c_while_the_workers_are_starting(begin, space):
    life = begin(space())
    workers = wait_for(life.begun, "the start of a worker")
    os.killpg(life.pid, signal.SIGINT)
    assert life.end() == 130, life.err
    assert not alive(*workers)
    assert "Traceback" not in life.err
    assert state_of(life.run) == "interrupted"
    assert life.steps() == []


def test_ctrl_c_once_more_while_the_report_is_written(begin, here, space):
    life = begin(space(), workers=1)
    wait_for(life.begun, "the start of a worker")
    os.killpg(life.pid, signal.SIGINT)
    wait_for(lambda: state_of(life.run) == "interrupted", "the end of the search")
    os.killpg(life.pid, signal.SIGINT)
    assert life.end() == 130, life.err
    assert "Traceback" not in life.err
    assert "before anything was written" not in life.err
    assert here("--resume", life.run) == life.run


def test_the_second_ctrl_c_waits_for_nobody(begin, here, space):
    life = begin(space("stuck"), workers=1)
    workers = life.workers_busy(1, steps=1)
    os.killpg(life.pid, signal.SIGINT)
    time.sleep(0.5)
    assert alive(life.pid), "the first one gives a trial some seconds to end"
    began = time.monotonic()
    os.killpg(life.pid, signal.SIGINT)
    wait_for(lambda: not alive(*workers), "the end of the workers")
    assert time.monotonic() - began < 2.0
    assert life.end() == 130, life.err
    assert "Traceback" not in life.err
    assert here("--resume", life.run) == life.run
    assert states_in_study(life.run) == ["COMPLETE"] * 4


def test_neither_a_second_coordinator_nor_a_hangup_under_nohup_disturbs_a_search(begin, harness, space, undisturbed):
    life = begin(space(), workers=1, ignored=[signal.SIGHUP])
    life.workers_busy(1)
    os.killpg(life.pid, signal.SIGHUP)
    done = harness("search", "--resume", life.run, "--trust")
    assert alive(life.pid), "the second one was refused while the first one was at work"
    assert done.code == 5
    assert done.err.count("\n") == 1
    assert f"{life.run}: another harness process is writing to this run" in done.err
    assert life.end() == 0, life.err
    assert told(life.run) == undisturbed
    assert set(pd.read_parquet(life.run / "trials.parquet")["attempts"]) == {1}


@two_cores
def test_a_killed_coordinator_takes_its_workers_along_and_is_resumed(begin, here, space, undisturbed):
    life = begin(space())
    workers = life.workers_busy(2)
    os.kill(life.pid, signal.SIGKILL)
    began = time.monotonic()
    wait_for(lambda: not alive(*workers), "the end of the workers")
    assert time.monotonic() - began < 1.0
    assert life.end() == -signal.SIGKILL
    assert "RUNNING" in states_in_study(life.run)
    assert here("--resume", life.run) == life.run
    assert states_in_study(life.run) == ["COMPLETE"] * 4
    assert told(life.run) == undisturbed


BACKGROUND = "cd {folder} && {{ {command} <&- >out 2>err & echo $! >pid; wait $!; echo $? >code; }}"
"""What a script does; its shell has no job control, so it starts the search with SIGINT ignored."""


def test_kill_int_ends_a_search_in_the_background_of_a_script(folder, here, space, undisturbed):
    command = [sys.executable, "-m", "harness", "search", space(), "--trust", "--out", "runs"]
    script = BACKGROUND.format(folder=shlex.quote(str(folder)), command=shlex.join(map(str, command)))
    life = Life(0, folder, lambda _: int((folder / "code").read_text()))
    with subprocess.Popen(["sh", "-c", script], start_new_session=True) as shell:
        try:
            life.pid = int(wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text(), "the start"))
            workers = life.workers_busy(1)
            os.kill(life.pid, signal.SIGINT)
            shell.wait(PATIENCE_S)
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
    assert life.end() == 130, life.err
    assert not alive(*workers)
    assert "Traceback" not in life.err
    assert "go on with: harness search --resume runs/" in life.out
    assert told(here("--resume", life.run)) == undisturbed


@two_cores
def test_a_trial_that_takes_too_long_is_timed_out_for_good(here, space, folder):
    space = space("[calm, slow, stuck]", "8", seed=2)  # in the order slow, stuck, calm
    text = space.read_text().replace("epochs: 4", "epochs: 50")
    space.write_text(text)
    run = here(space, "--trial-timeout", "6s", "--workers", 2)
    trials = pd.read_parquet(run / "trials.parquet").set_index("param.architecture.moody.mood")
    assert trials["outcome"].to_dict() == {"slow": "timeout", "stuck": "timeout", "calm": "complete"}
    assert trials.loc["slow", "reason"].startswith("not started: 50 epochs take about ")
    assert trials.loc["stuck", "reason"] == "its time of 6 s was over; it did not answer for 5 s and was killed"
    steps = (folder / "steps").read_bytes()
    before = rows(run)
    assert here("--resume", run, "--workers", 2) == run
    assert rows(run) == before
    assert (folder / "steps").read_bytes() == steps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", usable_cores() + 1), f"this machine has {usable_cores()} usable cores"),
        (("--workers", -1), "a number of processes, or auto"),
        (("--workers", "many"), "a number of processes, or auto"),
        (("--executor", "slurm"), "known: local, ray"),
        (("--retries", -1), "budget.retries"),
        (("--trial-timeout", "soon"), "duration"),
        (("--trial-timeout", "0s"), "above 0 seconds"),
        (("--address", "auto"), "add --executor ray"),
        (("--storage", "sqlite:///study.db"), "not the URL of a PostgreSQL database"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_before_anything_is_written(arguments, message, harness, tiny, tmp_path):
    done = harness("search", tiny, *arguments, "--out", tmp_path / "runs")
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
