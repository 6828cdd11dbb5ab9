"""Peak memory of a stretch, running out of memory, and giving it back."""

import gc
import math
import weakref

import pytest
import torch

from harness.measure import MemoryPeak, is_out_of_memory, only_new_garbage

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
        peak.look()
        assert "memory_rss_peak_mib" in peak.figures.reasons[NAME]


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


def test_torch_says_that_the_host_has_no_such_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_are_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_old_garbage_is_passed_over_and_collected_later():
    class Data:
        pass

    def circle():
        data = Data()
        data.itself = data
        return weakref.ref(data), data

    gc.unfreeze()  # a command that another test ran in this process has frozen what it loaded
    gc.disable()
    try:
        old, kept = circle()
        with only_new_garbage():
            del kept
            new, data = circle()
            del data
            gc.collect()
            assert new() is None
            assert old() is not None
        gc.collect()
        assert old() is None
    finally:
        gc.enable()
