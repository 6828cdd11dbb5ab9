"""The end of a process with the one that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of the end of its parent")
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
