from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.hardware import oom_kills
from harness.hardware.cgroup import group_folders

LIMIT = 64 * 2**20


def lay(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_version_2_counts_the_groups_kills_and_not_its_brushes_with_the_limit(tmp_path):
    events = "low 0\nhigh 3\nmax 12\noom 5\noom_kill 2\noom_group_kill 1\n"
    lay(tmp_path, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.events": events})
    assert oom_kills(tmp_path) == 2


def test_version_1_has_its_own_file(tmp_path):
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"
    lay(tmp_path, {"proc/self/cgroup": "4:memory:/job\n0::/\n", "sys/fs/cgroup/memory/job/memory.oom_control": control})
    assert oom_kills(tmp_path) == 7


def test_the_processs_own_group_counts_and_not_those_above_it(tmp_path):
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.events": "oom_kill 9\n",
        "sys/fs/cgroup/a/b/memory.events": "oom_kill 1\n",
    }
    assert oom_kills(lay(tmp_path, files)) == 1


def test_in_a_container_whose_path_is_the_hosts_the_mount_has_the_count(tmp_path):
    files = {"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/memory.events": "oom_kill 4\n"}
    assert oom_kills(lay(tmp_path, files)) == 4


@pytest.mark.parametrize("text", ["", "oom 3\n", "oom_kill\n", "oom_kill many\n", "oom_kill -1\n"])
def test_what_cannot_be_told_is_none_and_not_zero(tmp_path, text):
    assert oom_kills(tmp_path) is None
    lay(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.events": text})
    assert oom_kills(tmp_path) is None


# Moves itself into the group, so that what it starts is bounded with it, and asks before and after.
BOUNDED = """
import json, os, pathlib, subprocess, sys
from harness.hardware import oom_kills
(pathlib.Path(sys.argv[1]) / "cgroup.procs").write_text(str(os.getpid()))
greedy = "open('/proc/self/oom_score_adj', 'w').write('1000'); x = b'x' * (512 << 20)"
modest = "x = b'x' * (1 << 20)"
seen = [oom_kills()]
codes = []
for code in (modest, greedy):
    codes.append(subprocess.run([sys.executable, "-S", "-c", code]).returncode)
    seen.append(oom_kills())
print(json.dumps({"codes": codes, "seen": seen}))
"""


@pytest.fixture
def group():
    """A control group of this process's own with a memory limit of 64 MiB."""
    if sys.platform != "linux":
        pytest.skip("control groups are Linux's")
    own = next((folder for folder in group_folders(Path("/"), "memory") if (folder / "cgroup.procs").exists()), None)
    if own is None:
        pytest.skip("this process is in no memory control group")
    folder = own / "harness-test-oom"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group may be made here: {error}")
    try:
        limit = next((folder / n for n in ("memory.max", "memory.limit_in_bytes") if (folder / n).exists()), None)
        if limit is None:
            pytest.skip("the memory controller is not on in a group of this one")
        limit.write_text(str(LIMIT))
        for name, text in (("memory.swap.max", "0"), ("memory.memsw.limit_in_bytes", str(LIMIT))):
            if (folder / name).exists():
                (folder / name).write_text(text)
        yield folder
    finally:
        folder.rmdir()


def test_a_process_that_outgrows_its_group_is_counted_and_one_that_does_not_is_not(group):
    done = subprocess.run([sys.executable, "-c", BOUNDED, group], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["codes"] == [0, -signal.SIGKILL]
    assert found["seen"] == [0, 0, 1]
