"""Peak memory of a stretch."""

import math

import pytest
import torch

from harness.measure import MemoryPeak

NAME = "memory_allocated_peak_mib"


def test_on_the_cpu_the_peak_is_nan_with_a_reason_that_says_where_to_look():
    with MemoryPeak(torch.device("cpu")) as peak:
        torch.zeros(1000)
    assert math.isnan(peak.figures.values[NAME])
    assert "memory_rss_peak_mib" in peak.figures.reasons[NAME]


def test_before_the_end_the_peak_is_nan_with_a_reason():
    with MemoryPeak(torch.device("cpu")) as peak:
        assert math.isnan(peak.figures.values[NAME])
        assert "not ended" in peak.figures.reasons[NAME]


def test_errors_pass_through():
    with pytest.raises(KeyError), MemoryPeak(torch.device("cpu")):
        raise KeyError


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_cuda_the_peak_holds_what_was_alive_at_once_and_starts_anew():
    device = torch.device("cuda", 0)
    with MemoryPeak(device) as peak:
        big = torch.empty(64 * 2**20, dtype=torch.uint8, device=device)
        del big
    with MemoryPeak(device) as later:
        small = torch.empty(2**20, dtype=torch.uint8, device=device)
        del small
    assert 64 <= peak.figures.values[NAME] < 1000
    assert later.figures.values[NAME] == pytest.approx(peak.figures.values[NAME] - 63, abs=0.1)
