import json
import os
import subprocess
import sys

import psutil
import pytest

from harness.hardware import usable_cores
from harness.store import RunFolder, seal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small tmpfs needs root on Linux"
    ),
    pytest.mark.skipif(usable_cores() < 2, reason="two workers want two cores"),
]


@pytest.fixture
def small_disk(tmp_path):
    """A disk that holds a run folder, and no weights."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", disk], check=False).returncode:
        pytest.skip("this container may not mount a tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_fills_up_ends_the_workers_too_and_loses_nothing(harness, tiny, small_disk, tmp_path):
    large = ("--set", "space={architecture: {mlp: {depth: 2, width: {int: [500, 600]}}}}", "--deterministic")
    before = psutil.Process().children(recursive=True)
    done = harness("search", tiny, *large, "--workers", 2, "--out", small_disk)
    assert done.code == 5, done.err
    assert "checkpoints/trial-" in done.err
    assert "No space left" in done.err
    assert done.err.count("harness: error:") == 1
    assert "Traceback" not in done.err
    assert psutil.Process().children(recursive=True) == before
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    (run,) = small_disk.iterdir()
    resumed = harness("search", "--resume", run, "--json")
    assert resumed.code == 0, resumed.err
    undisturbed = harness("search", tiny, *large, "--out", tmp_path / "runs", "--json")
    found, expected = json.loads(resumed.out), json.loads(undisturbed.out)
    for key in ("trials", "best", "test"):
        assert found[key] == expected[key]


def test_a_run_that_does_not_fit_is_neither_packed_nor_unpacked_in_part(harness, small_disk, tmp_path):
    folder = RunFolder.create(tmp_path, "large")
    folder.set_state("complete")
    folder.write("best/model.safetensors", os.urandom(2 << 20))
    folder.close()
    seal(folder.path, {"state": "complete"})
    packed = tmp_path / "run.zip"
    assert harness("pack", folder.path, "--out", packed).code == 0
    for words in (
        ("pack", folder.path, "--out", small_disk / "run.zip"),
        ("unpack", packed, "--out", small_disk / "run"),
    ):
        done = harness(*words)
        assert (done.code, done.out) == (5, ""), words
        assert "No space left" in done.err
        assert str(small_disk / "run") in done.err
        assert done.err.count("\n") == 1
        assert not list(small_disk.iterdir())
