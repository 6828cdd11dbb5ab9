"""The largest batch that fits."""

import gc
import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.macro.largest import WARM_CALLS, Found, fits_by_trying, largest
from harness.measure import only_new_garbage

CPU = torch.device("cpu")


class Memory:
    """Fits up to a limit, and keeps what it was asked."""

    def __init__(self, limit):
        self.limit = limit
        self.asked = []

    def __call__(self, batch):
        self.asked.append(batch)
        return batch <= self.limit


@settings(max_examples=25)
@given(cap=st.integers(1, 2**20), limit=st.integers(0, 2**21))
def test_the_answer_is_exact_within_few_tries(cap, limit):
    fits = Memory(limit)
    found = largest(fits, cap=cap)
    assert found.batch == min(limit, cap)
    assert found.tries == len(fits.asked) == len(set(fits.asked)) <= 2 + 2 * math.log2(cap)
    assert max(fits.asked) <= cap
    assert found.too_large == (None if limit >= cap else limit + 1)
    assert found.stop_reason == ("cap" if limit >= cap else "precise")


@settings(max_examples=25)
@given(limit=st.integers(1, 2**20 - 1), within=st.sampled_from([0.01, 0.1, 0.5]))
def test_a_tolerance_bounds_the_gap_and_saves_tries(limit, within):
    fits = Memory(limit)
    found = largest(fits, cap=2**20, within=within)
    assert found.batch <= limit < found.too_large
    assert found.too_large - found.batch <= max(1, within * found.batch)
    assert found.tries <= largest(Memory(limit), cap=2**20).tries


@settings(max_examples=25)
@given(limit=st.integers(0, 1000), seconds=st.integers(0, 30))
def test_no_try_begins_after_the_time_and_what_is_known_is_told(limit, seconds):
    ticks = iter(range(10_000))
    fits = Memory(limit)
    found = largest(fits, cap=1000, seconds=seconds, clock=lambda: float(next(ticks)))
    assert found.tries <= seconds
    assert found.batch == max((batch for batch in fits.asked if batch <= limit), default=0)
    if found.stop_reason != "time":
        assert found.batch == limit


def test_without_any_time_nothing_is_tried():
    assert largest(Memory(5), cap=10, seconds=0.0) == Found(0, None, 0, "time")


def test_a_cap_of_none_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        largest(Memory(1), cap=0)


@pytest.mark.parametrize("when", ["made", "called"])
def test_running_out_of_memory_is_not_fitting(when):
    def make(batch):
        if when == "made" and batch > 37:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        def work():
            if batch > 37:
                torch.empty(2**60, dtype=torch.uint8)

        return work

    with only_new_garbage():
        assert largest(fits_by_trying(make, CPU), cap=1000).batch == 37


def test_a_batch_fits_only_if_the_second_call_does_too():
    calls = []

    def work():
        calls.append(None)
        if len(calls) == WARM_CALLS:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    assert not fits_by_trying(lambda _: work, CPU)(1)


def test_other_errors_pass_through():
    def make(_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        fits_by_trying(make, CPU)(1)


@pytest.mark.parametrize("fits", [True, False])
def test_a_try_leaves_nothing_behind(fits):
    class Data:
        pass

    left = []

    def make(_):
        data = Data()
        data.itself = data  # freed by nothing but the garbage collector
        left.append(weakref.ref(data))

        def work():
            assert data.itself is data
            if not fits:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        return work

    gc.disable()
    try:
        assert fits_by_trying(make, CPU)(1) is fits
        assert left[0]() is None
    finally:
        gc.enable()
