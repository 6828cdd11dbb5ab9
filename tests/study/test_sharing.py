"""An object in shared memory is the same object, its arrays are not copied, and nothing of it is left behind."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HardwareError
from harness.study.execute import sharing
from harness.study.execute.sharing import ALIGNMENT, Shared, load_shared

MIB = 2**20


def there_and_back(thing):
    with closing(Shared(thing)) as shared:
        return load_shared(shared.fileno())


@settings(max_examples=25)
@given(
    shapes=st.lists(st.lists(st.integers(0, 7), max_size=3), max_size=5),
    dtype=st.sampled_from(["u1", "<i8", "<f4", "<f8", "bool", "<U3", "datetime64[s]"]),
)
def test_arrays_come_back_as_they_were_each_on_its_own_cache_line(shapes, dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 2, shape).astype(dtype) for shape in shapes]
    found = there_and_back(arrays)
    for array, other in zip(arrays, found, strict=True):
        assert other.dtype == array.dtype
        assert other.shape == array.shape
        np.testing.assert_array_equal(other, array)
        in_its_own_place = array.size and array.dtype.kind != "M"  # numpy hands out no buffer of dates
        assert not in_its_own_place or other.ctypes.data % ALIGNMENT == 0


def test_what_is_not_an_array_comes_back_too():
    thing = {"text": "é" * 10_000, "numbers": (1, 2.5, None), "bytes": b"\0" * 100}
    assert there_and_back(thing) == thing
    assert there_and_back(None) is None


def test_an_array_with_gaps_or_in_another_order_comes_back_as_it_was():
    base = np.arange(10_000.0).reshape(100, 100)
    thing = {"gaps": base[::3, ::2], "reversed": base[::-1], "fortran": np.asfortranarray(base), "mixed": [base, base]}
    thing["objects"] = np.array(["a", None, 2.5, "b"], dtype=object)[::2]
    found = there_and_back(thing)
    for name in ("gaps", "reversed", "fortran", "objects"):
        np.testing.assert_array_equal(found[name], thing[name])
    assert found["fortran"].flags.f_contiguous
    assert found["mixed"][0] is found["mixed"][1]


def test_an_array_with_gaps_is_shared_without_them():
    with closing(Shared(np.zeros((2, MIB), dtype="u1")[:, ::2])) as shared:
        assert MIB <= shared.size < MIB + 1024


def test_tables_come_back_as_they_were():
    frame = pd.DataFrame(
        {
            "number": [1.5, np.nan, 3.0],
            "whole": [1, 2, 3],
            "text": ["a", None, "c"],
            "kind": pd.Categorical(["x", "y", "x"]),
            "when": pd.to_datetime(["2020-01-01", "2021-01-01", None]),
        }
    )
    pd.testing.assert_frame_equal(there_and_back(frame), frame)


def test_a_loaded_array_can_be_written_to_without_anyone_else_seeing_it():
    with closing(Shared(np.zeros(1000))) as shared:
        mine, theirs = load_shared(shared.fileno()), load_shared(shared.fileno())
        mine += 1
        assert mine.sum() == 1000
        assert theirs.sum() == 0
        assert load_shared(shared.fileno()).sum() == 0


def test_what_was_loaded_outlives_the_file_it_came_from():
    array = there_and_back(np.arange(100_000))
    assert array.sum() == sum(range(100_000))


CHILD = """
import sys
from harness.study.execute.sharing import load_shared
array = load_shared(int(sys.argv[1]))
print(array.sum(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_that_read_an_array_have_its_memory_once():
    size = 100 * MIB
    with closing(Shared(np.ones(size, dtype="u1"))) as shared:
        command = [sys.executable, "-c", CHILD, str(shared.fileno())]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        children = [subprocess.Popen(command, pass_fds=[shared.fileno()], **pipes) for _ in range(3)]
        try:
            for child in children:
                assert int(child.stdout.readline()) == size
            resident, proportional = (sum(_memory(child.pid, kind) for child in children) for kind in ("Rss", "Pss"))
        finally:
            for child in children:
                child.kill()
                child.communicate()
    assert resident > 3 * size
    assert proportional < 2 * size


def _memory(pid, kind):
    """Return the bytes of a process as the kernel counts them: all it has, or of what it shares its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


@pytest.mark.parametrize("memfd", [True, False], ids=["memory", "temporary file"])
def test_nothing_is_left_behind_by_a_killed_process(memfd, tmp_path):
    code = f"""
import os, time
import numpy as np
from harness.study.execute.sharing import Shared, load_shared
if not {memfd} and hasattr(os, "memfd_create"):
    del os.memfd_create
shared = Shared(np.ones({4 * MIB}))
print(load_shared(shared.fileno()).sum(), flush=True)
time.sleep(60)
"""
    before = _shm()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert float(child.stdout.readline()) == 4 * MIB
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert list(tmp_path.iterdir()) == []
    assert _shm() <= before


def _shm():
    folder = Path("/dev/shm")
    return set(folder.iterdir()) if folder.is_dir() else set()


def test_without_memfd_it_works_the_same(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    np.testing.assert_array_equal(there_and_back(np.arange(1000)), np.arange(1000))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_memory_does_not_hold_is_shared_by_a_file_on_the_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=MIB))
    with closing(Shared(np.arange(100_000))) as shared:
        assert str(tmp_path) in str(Path(f"/proc/self/fd/{shared.fileno()}").readlink())
        np.testing.assert_array_equal(load_shared(shared.fileno()), np.arange(100_000))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no file that is always full")
def test_a_lack_of_room_is_reported_in_one_line(monkeypatch):
    monkeypatch.setattr(sharing, "nameless_file", lambda: os.open("/dev/full", os.O_RDWR))
    with pytest.raises(HardwareError, match=r"no room for the 8 MiB of data .* \(No space left on device\); .* memory"):
        Shared(np.zeros(MIB))
