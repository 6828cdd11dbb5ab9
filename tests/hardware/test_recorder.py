"""The process that samples: whatever becomes of it, and of those it works for, nobody is held up."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from harness.hardware import Sampler, Watched, child, recorder_process
from harness.hardware.ring import Ring, nameless_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the process that samples inherits descriptors")


@pytest.fixture
def watched():
    """Return a running sampler with the process that samples for it."""
    before = set(psutil.Process().children())
    with Sampler(Watched(no_gpu="no GPU"), interval_s=0.01) as sampler:
        (process,) = set(psutil.Process().children()) - before
        yield sampler, process
        after = time.time()
        assert sampler.window(after, after).reasons["power_w"] == "no GPU"
    assert not process.is_running()


def rss(sampler):
    """Return the figure and the reason of a stretch that ends now."""
    figures = sampler.window(time.time(), time.time())
    return figures.values["memory_rss_peak_mib"], figures.reasons.get("memory_rss_peak_mib")


def test_it_loads_nothing_heavy():
    heavy = ("torch", "optuna", "pandas", "sklearn", "numpy", "pydantic")
    code = f"import sys, harness.hardware.recorder; print(*[name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_when_it_is_killed_figures_are_missing_from_then_on_and_the_run_goes_on(watched):
    sampler, process = watched
    start = sampler.sample()
    process.kill()
    with sampler.labelled(5):
        value, reason = rss(sampler)
    assert math.isnan(value)
    assert reason == "the telemetry process ended (SIGKILL)"
    assert sampler.window(start, start).values["memory_rss_peak_mib"] > 1
    last = sampler.drain()[-1]
    assert last.trial == 5
    assert all(map(math.isnan, last.values.values()))


def test_when_it_hangs_it_is_waited_for_once_until_it_answers_again(watched, monkeypatch):
    sampler, process = watched
    monkeypatch.setattr(recorder_process, "ANSWER_S", 0.1)
    process.suspend()
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)
    value, reason = rss(sampler)
    assert math.isnan(value)
    assert reason == "the telemetry process has not answered for 0.1 s"
    monkeypatch.setattr(recorder_process, "ANSWER_S", 1e6)
    assert math.isnan(rss(sampler)[0])
    process.resume()
    deadline = time.monotonic() + 20
    while math.isnan(rss(sampler)[0]):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_a_whole_group_is_sent_does_not_end_it(watched, number):
    sampler, process = watched
    process.send_signal(number)
    assert rss(sampler)[0] > 1


def test_one_that_cannot_be_started_is_done_without(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with Sampler(Watched()) as sampler, sampler.labelled(1):
        value, reason = rss(sampler)
    assert math.isnan(value)
    assert reason.startswith("the telemetry process cannot be started (")
    assert {record.trial for record in sampler.drain()} == {1}


def test_one_that_fails_leaves_its_last_words(monkeypatch):
    monkeypatch.setattr(child, "_START", "import sys; sys.exit('the disk is on fire')")
    with Sampler(Watched()) as sampler:
        assert rss(sampler)[1] == "the telemetry process ended (exit code 1: the disk is on fire)"


PARENT = """
import os, sys, psutil
from harness.hardware import Sampler, Watched
with Sampler(Watched()), Sampler(Watched()):
    one, hung = children = psutil.Process().children()
    hung.suspend()
    if os.fork() == 0:  # holds their connections open
        sys.stdin.read()
        os._exit(0)
    print(one.pid, hung.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not end it")
def test_it_ends_with_its_parent_though_it_hangs_and_though_another_process_holds_the_connection():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        processes = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
        assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_a_ring_keeps_the_newest_rows():
    descriptor = nameless_file()
    ring, reader = (Ring(descriptor, width=2, capacity=4) for _ in range(2))
    assert (reader.count, reader.oldest, reader.read(0, 0)) == (0, 0, b"")
    for number in range(1, 11):
        ring.append((number, -number))
        first, last = reader.oldest, reader.count
        rows = memoryview(reader.read(first, last)).cast("d").tolist()
        assert rows == [sign * each for each in range(max(1, number - 2), number + 1) for sign in (1, -1)]
    assert reader.read(0, 10) == reader.read(7, 10)
    os.close(descriptor)
