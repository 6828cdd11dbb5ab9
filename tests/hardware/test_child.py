"""Child processes: they end with the one that started them, talk to it, and say how they ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest

from harness.hardware.child import Child, listen, spawn
from harness.hardware.fork_server import ForkServer

CHILD = (
    "import os, time; from harness.hardware import die_with; die_with(PARENT); print('up', flush=True); time.sleep(600)"
)
STARTS = f"""
import os, subprocess, sys, time
code = {CHILD!r}.replace("PARENT", str(os.getpid()))
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline().strip(), child.pid, flush=True)
time.sleep(600)
"""


only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process of the end of its parent, and forks safely"
)


@only_linux
def test_a_parent_that_is_killed_takes_its_child_along():
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE, text=True) as parent:
        word, pid = parent.stdout.readline().split()
        child = psutil.Process(int(pid))
        parent.send_signal(signal.SIGKILL)
    assert word == "up"
    deadline_s = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_an_orphan_ends_at_once():
    code = CHILD.replace("PARENT", "-1")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout == b""


MODULE = """
import os, signal, sys, time
from harness.hardware.channel import frame, messages

def main(connection, *, word):
    for message in messages(connection):
        connection.sendall(frame((word, message)))
        exec(message)
"""


@pytest.fixture(params=["spawned", pytest.param("forked", marks=only_linux)])
def ways(request, tmp_path, monkeypatch):
    """Return what starts a process with an environment: a new Python, or a fork of one that has loaded modules."""
    (tmp_path / "obeys.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    servers = []

    def forked(environment):
        servers.append(ForkServer(["json", "no_such_module"], environment))
        return servers[-1].start

    yield forked if request.param == "forked" else lambda environment: partial(spawn, environment=environment)
    for server in servers:
        server.close()


@pytest.fixture
def start(ways):
    """Return a function that starts a child which says what it hears and then does it."""
    started, way = [], ways({"HARNESS_TWO": "2"})

    def start(**options):
        started.append(Child("obeys", {"word": "so"}, start=way, **options))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.bury()


def told(child, message):
    """Send a message and return the answer."""
    child.channel.send(message)
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        listen([child], 1.0)
        for answer in child.receive():
            return answer
    raise AssertionError("no answer")


def test_a_large_message_goes_there_and_back_whole(start):
    message = f"pass  # {'x' * 3_000_000}"
    assert told(start(), message) == ("so", message)


@pytest.mark.parametrize(
    ("does", "words", "signalled"),
    [
        ("pass", "exit code 0", ""),
        ("sys.exit(3)", "exit code 3", ""),
        ("print('one'); print(' the last '); print(); sys.stdout.flush(); os._exit(1)", "exit code 1: the last", ""),
        ("1 / 0", "exit code 1: ZeroDivisionError: division by zero", ""),
        (
            "print('x' * 10**6 + 'end', flush=True); os.kill(os.getpid(), 9)",
            f"SIGKILL: {'x' * (2**14 - 4)}end",
            "SIGKILL",
        ),
        ("os.kill(os.getpid(), 40)", "signal 40", "signal 40"),
    ],
)
def test_how_it_ended_is_told_in_a_few_words(does, words, signalled, start):
    child = start()
    told(child, does)
    deadline_s = time.monotonic() + 20
    while does != "pass" and child.alive and time.monotonic() < deadline_s:
        listen([child], 0.1)
        list(child.receive())
    end = child.bury(exit_s=20.0)
    assert (str(end), end.signal, end.out_of_memory) == (words, signalled, False)


def test_one_that_does_not_end_is_killed(start):
    child = start()
    told(child, "print('asleep', flush=True); time.sleep(600)")
    began_s = time.monotonic()
    assert child.bury(exit_s=0.1).signal == "SIGKILL"
    assert time.monotonic() - began_s < 5.0


def test_signals_that_are_to_be_ignored_are_and_others_are_not(start):
    child = start(ignored=(signal.SIGHUP,))
    assert told(child, "os.kill(os.getpid(), signal.SIGHUP)")[0] == "so"
    assert told(child, "os.kill(os.getpid(), signal.SIGTERM)")[0] == "so"
    assert child.bury(exit_s=20.0).signal == "SIGTERM"


def test_its_environment_is_this_one_and_more(monkeypatch, ways):
    monkeypatch.setenv("HARNESS_ONE", "1")
    child = Child("obeys", {"word": "so"}, start=ways({"HARNESS_TWO": "2"}))
    told(child, "print(os.environ['HARNESS_ONE'], os.environ['HARNESS_TWO'], flush=True)")
    assert child.bury(exit_s=20.0).last_line == "1 2"
