"""Free memory: the host's, and what a control group leaves of it; everything that depends on it asks one function."""

from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from harness.data import place
from harness.data.files import check_fits_host
from harness.data.part import Part
from harness.errors import DataError
from harness.hardware import free_host_mib, free_mib, probe
from harness.study.trial.memory import Growth

CPU = torch.device("cpu")


def in_group(root, limit_mib, used_mib):
    """Lay out a file system whose group has this limit and use."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/\n")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/memory.max").write_text(f"{limit_mib * 2**20}\n")
    (root / "sys/fs/cgroup/memory.current").write_text(f"{used_mib * 2**20}\n")
    return root


@pytest.fixture
def host(monkeypatch):
    """A host of 256 GiB, half of it free."""
    memory = SimpleNamespace(total=256 * 2**30, available=128 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


@pytest.mark.usefixtures("host")
def test_of_a_large_host_only_what_the_group_leaves_is_free(tmp_path):
    assert free_host_mib(tmp_path) == 128 * 1024
    assert free_host_mib(in_group(tmp_path, 4096, 1024)) == 3072
    assert probe(root=tmp_path).memory.available_mib == 3072
    assert probe(root=tmp_path).memory.limit_mib == 4096


@pytest.mark.usefixtures("host")
def test_a_group_that_may_have_more_than_there_is_gets_what_there_is(tmp_path):
    assert free_host_mib(in_group(tmp_path, 2**20, 0)) == 128 * 1024


@pytest.mark.usefixtures("host")
def test_whoever_asks_what_fits_hears_of_the_group(monkeypatch):
    monkeypatch.setattr("harness.hardware.cgroup.memory_left_mib", lambda _root: 1.0)
    assert free_mib(CPU) == 1.0
    part = Part((np.zeros((100_000, 2), np.float32),), np.zeros(100_000, np.float32), np.arange(100_000))
    assert place(part, device=CPU, batch_size=8, seed=0, shuffle=True).path == "streamed"
    with pytest.raises(DataError, match=r"would take 1 MiB, more than half of the free memory \(0 MiB\)"):
        check_fits_host(2**20, "x")
    check_fits_host(2**19, "x")


def test_a_larger_batch_is_known_not_to_fit_before_it_is_tried(monkeypatch):
    monkeypatch.setattr("harness.study.trial.memory.free_mib", lambda _device: 1000.0)
    growth = Growth(CPU)
    assert growth.fits(10**9), "nothing is known"
    growth.add(16, 164.0)
    assert growth.fits(10**9), "one size tells no growth"
    growth.add(32, float("nan"))
    growth.add(32, 228.0)  # 100 MiB, and 4 for each sample
    assert growth.fits(225)
    assert not growth.fits(226)
    growth.add(64, 740.0)  # the line would begin below nothing: all of it is samples, 11.5625 each
    assert growth.fits(86)
    assert not growth.fits(87)
