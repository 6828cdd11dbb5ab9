"""A fork server: its processes have what it has loaded, and whatever happens to them is known and leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest

from harness.hardware.child import Child, listen
from harness.hardware.fork_server import ForkServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks safely")

LOADED = """
import os, time
time.sleep(float(os.environ["SECONDS"]))
LOADED_BY = os.getpid()
"""
MODULE = """
import os, sys
from harness.hardware.channel import frame, messages

def main(connection, *, shared):
    loaded = sys.modules.get("takes_long")
    files = os.listdir("/proc/self/fd")
    connection.sendall(frame((os.getpid(), loaded and loaded.LOADED_BY, os.pread(shared, 9, 0), files)))
    for message in messages(connection):
        exec(message)
"""


@pytest.fixture
def server(tmp_path, monkeypatch, running):
    """Return a function that starts a server which takes so long to load."""
    (tmp_path / "takes_long.py").write_text(LOADED)
    (tmp_path / "tells.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    servers = []

    def server(seconds=0.0):
        servers.append(ForkServer(["takes_long"], {"SECONDS": str(seconds)}))
        return servers[-1]

    yield server
    for each in servers:
        each.close()
    assert not running("harness-tells", "harness-fork_se")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a process from a server."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shared").write_text("something")
    file = os.open(tmp_path / "shared", os.O_RDONLY)
    yield lambda server: Child("tells", {}, inherited={"shared": file}, start=server.start)
    os.close(file)


def said(child, seconds=20.0):
    """Return what a child says first."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        listen([child], 1.0)
        for message in child.receive():
            return message
    raise AssertionError("it says nothing")


def ended(child):
    """Wait until a child has ended."""
    deadline_s = time.monotonic() + 20.0
    while child.alive:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_those_that_are_ordered_while_it_loads_begin_when_it_has(server, start):
    its = server(0.5)
    children = [start(its) for _ in range(3)]
    told = [said(child) for child in children]
    pids, loaded_by, shared, files = zip(*told, strict=True)
    assert len({*pids, *loaded_by}) == 3 + 1  # each is a process of its own, and the server has loaded for all
    assert set(shared) == {b"something"}
    # 0 to 2, the connection, the shared file, and the folder that is read: nothing of the server, nothing of another.
    assert [len(each) for each in files] == [6, 6, 6]
    assert [child.bury(exit_s=20.0).code for child in children] == [0, 0, 0]


def test_one_that_is_killed_before_it_was_forked_does_not_live(server, start, running):
    its = server(1.0)
    child = start(its)
    child.kill()
    assert child.bury().signal == "SIGKILL"
    other = start(its)
    pid = said(other)[0]
    assert running("harness-tells") == [pid]
    other.bury()


def test_a_dead_one_keeps_its_number_until_its_end_is_known(server, start):
    its = server()
    child = start(its)
    pid = said(child)[0]
    os.kill(pid, signal.SIGKILL)
    deadline_s = time.monotonic() + 20.0
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    time.sleep(0.2)
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert child.bury().signal == "SIGKILL"
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_its_processes_end_with_it_and_others_are_started_without_it(server, start):
    its = server()
    child = start(its)
    _, loaded_by, *_ = said(child)
    os.kill(loaded_by, signal.SIGKILL)
    ended(child)
    assert child.bury().signal == "SIGKILL"
    other = start(its)
    assert said(other)[1:3] == (None, b"something")
    assert other.bury(exit_s=20.0).code == 0


def test_closing_it_ends_what_it_has_started(server, start):
    its = server()
    child = start(its)
    pid = said(child)[0]
    its.close()
    ended(child)
    child.bury()
    deadline_s = time.monotonic() + 20.0
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_one_that_cannot_be_forked_says_why(tmp_path, start):
    full = "import errno, os\n\ndef fork():\n    raise OSError(errno.EAGAIN, 'no more processes')\n\nos.fork = fork\n"
    (tmp_path / "full_machine.py").write_text(full)
    its = ForkServer(["full_machine"], {})
    try:
        child = start(its)
        ended(child)
        assert str(child.bury()) == "exit code 1: it cannot be forked (no more processes)"
    finally:
        its.close()
