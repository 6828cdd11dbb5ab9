import sys

import psutil
import pytest
import torch

from harness.measure.resident import PeakMemory, ResidentPeak, allocated_mib

MIB = 2**20
CPU = torch.device("cpu")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the peak of a stretch")


def taken(mib):
    return torch.ones(mib * MIB, dtype=torch.uint8)


@linux
def test_a_peak_that_is_over_at_once_is_seen():
    before = allocated_mib(CPU)
    with ResidentPeak() as peak:
        taken(200)
    held = psutil.Process().memory_info().rss / MIB
    assert peak.figures.values["memory_rss_peak_mib"] - before == pytest.approx(200, rel=0.1)
    assert held - before < 50


@linux
def test_an_earlier_peak_does_not_count():
    taken(200)
    before = allocated_mib(CPU)
    with ResidentPeak() as peak:
        taken(20)
    assert peak.figures.values["memory_rss_peak_mib"] - before < 100


@pytest.mark.slow
@linux
def test_memory_that_was_freed_is_not_held():
    """Small pieces: the C library keeps what is between them unless it is told to give it back."""
    before = allocated_mib(CPU)
    pieces = [taken(1)[: 2**14].clone() for _ in range(8000)]
    assert allocated_mib(CPU) - before > 60
    del pieces
    assert allocated_mib(CPU) - before < 40


@linux
def test_the_peak_of_work_on_a_host_is_that_of_the_process():
    before = allocated_mib(CPU)
    with PeakMemory(CPU) as peak:
        taken(100)
    assert peak.mib - before == pytest.approx(100, rel=0.2)


def test_where_the_system_keeps_no_account_nothing_is_claimed(tmp_path):
    with ResidentPeak(tmp_path / "none") as peak:
        pass
    assert peak.figures.values == {}


def test_where_the_system_does_not_tell_the_peak_nothing_is_claimed(tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  100 kB\n")
    (tmp_path / "clear_refs").touch()
    with ResidentPeak(tmp_path) as peak:
        pass
    assert peak.figures.values == {}
