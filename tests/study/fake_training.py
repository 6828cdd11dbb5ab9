"""Workshops and trainers for the tests of executors: they train nothing, and misbehave on request.

Worker processes import this module by its name, so the tests put its folder on ``sys.path``.
"""

import ctypes
import importlib
import os
import signal
import stat
import struct
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import TrialEnd
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.study.contract import Assignment, Evaluation, Report


@dataclass
class FakeWorkshop:
    payload: Any = None
    opens_after_s: float = 0.0
    imports: str = "sys"

    @contextmanager
    def open(self, stop, *, threads, device=0):
        time.sleep(self.opens_after_s)
        importlib.import_module(self.imports)
        yield FakeTrainer(stop, threads, device, self.payload)


class Unloadable:
    """Pickles well, and fails where it is unpickled."""

    def __reduce__(self):
        return importlib.import_module, ("a_module_that_is_not_there",)


@dataclass
class FakeTrainer:
    stop: Any
    threads: int
    device: int
    payload: Any

    def evaluate(self, group, watcher):
        """Do what ``params["do"]`` names, with the other parameters; what it returns are the record's parameters."""
        self.trials = [assignment.trial for assignment in group]
        for assignment in group:
            self.trial, self.watcher = assignment.trial, watcher
            options = dict(assignment.params)
            do = getattr(self, options.pop("do"))
            try:
                found = do(**options)
            except TrialEnd as end:
                yield evaluation(assignment.trial, end.outcome, str(end), {})
            else:
                yield evaluation(assignment.trial, Outcome.COMPLETE, "done", found or {})

    def nothing(self):
        pass

    def describe(self):
        return {
            "pid": os.getpid(),
            "device": self.device,
            "threads": self.threads,
            "omp": os.environ["OMP_NUM_THREADS"],
            "waiting": os.environ.get("OMP_WAIT_POLICY"),
            "stdin": sys.stdin.read(),
            "path": list(sys.path),
            "torch": "torch" in sys.modules,
            "ignores_ctrl_c": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        }

    def where(self):
        return {"device": self.device}

    def add_one(self):
        self.payload += 1
        return {"sum": float(self.payload.sum())}

    def report(self, epochs=1):
        verdicts = []
        for epoch in range(1, epochs + 1):
            verdicts.append(self.watcher.judge(report(self.trial, epoch)))
            if verdicts[-1]:
                break
        return {"verdicts": verdicts}

    def report_all(self, epochs=1):
        """Report for the whole group at once, as the first of it."""
        trials, verdicts = self.trials, []
        for epoch in range(1, epochs + 1):
            said = self.watcher.judge_all([report(trial, epoch) for trial in trials])
            verdicts.append(said)
            trials = [trial for trial, verdict in zip(trials, said, strict=True) if not verdict]
        return {"verdicts": verdicts}

    def checkpoint(self, size):
        for number in (1, 2):
            self.watcher.keep(self.trial, bytes([number]) * size)

    def until_stopped(self):
        self.watcher.judge(report(self.trial, 1))
        while True:
            self.stop.check()
            time.sleep(0.01)

    def raise_signal(self, number):
        os.kill(os.getpid(), number)
        time.sleep(60)

    def leave(self, code):
        os._exit(code)

    def sys_exit(self, code):
        threading.Thread(target=time.sleep, args=(60,)).start()
        sys.exit(code)

    def fail(self):
        threading.Thread(target=time.sleep, args=(60,)).start()
        raise LookupError("planted in the trainer")

    def die_later(self):
        threading.Timer(0.2, os._exit, [0]).start()

    def die_talking(self):
        os.write(_connection(), struct.pack("<Q", 1000) + b"the beginning")
        os._exit(0)

    def stop_talking(self):
        os.write(_connection(), struct.pack("<Q", 1000) + b"the beginning")
        os.kill(os.getpid(), signal.SIGSTOP)

    def die_with_a_child(self):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        os._exit(3)

    def sleep_with_a_child(self):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        self.watcher.keep(self.trial, str(child).encode())
        time.sleep(60)

    def echo(self, text):
        return {"text": text}

    def say(self, text):
        os.write(2, text.encode())

    def say_and_abort(self, text):
        self.say(text)
        os.abort()

    def sleep(self):
        self.watcher.judge(report(self.trial, 1))
        time.sleep(60)

    def hold_python(self):
        """Sleep in C without letting any other thread of this process run."""
        self.watcher.judge(report(self.trial, 1))
        ctypes.PyDLL(None).sleep(60)

    def chatter(self):
        for _ in range(1000):
            print("x" * 1000)
        os.write(1, b"y" * 200_000)


def evaluation(trial, outcome, reason, params):
    record = TrialRecord(trial=trial, outcome=outcome, reason=reason, candidate={}, params=params, seconds=0.0)
    return Evaluation(record, [])


def report(trial, epoch):
    numbers = {"learning_rate": 0.1, "gradient_norm": 1.0, "train_s": 1.0, "validation_s": 1.0, "train_samples_s": 1.0}
    return Report(EpochRecord(trial=trial, epoch=epoch, train={}, validation={}, **numbers), {"parameters": 5.0})


def alone(trial, do, **options):
    """Return a group of one assignment."""
    return (assignment(trial, do, **options),)


def assignment(trial, do, *, time_s=float("inf"), judged=False, **options):
    params = {"do": do, **options}
    return Assignment(trial=trial, seed=0, candidate=None, params=params, until=1, time_s=time_s, judged=judged)


class Listener:
    """A watcher that remembers, and does what it is told at a report."""

    def __init__(self, verdict=lambda _: ""):
        self.verdict = verdict
        self.reports = []
        self.checkpoints = []

    def judge(self, report):
        self.reports.append(report)
        return self.verdict(report)

    def judge_all(self, reports):
        return [self.judge(report) for report in reports]

    def keep(self, trial, checkpoint):
        self.checkpoints.append((trial, checkpoint))


def _connection():
    """Return the descriptor of the one socket of a worker."""
    for number in (int(path.name) for path in Path("/dev/fd").iterdir()):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                return number
    raise AssertionError("the worker has no socket")
