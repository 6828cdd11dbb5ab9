"""Timing by what must hold on any machine: known sleeps within a wide factor, modes, caps."""

import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.measure import Timings, inference_throughput, latency, synchronize, throughput, time_calls

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


class Sleeper(nn.Module):
    """Sleeps in every call and remembers in which modes it was called."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds = seconds
        self.dropout = nn.Dropout().eval()
        self.calls = []

    def forward(self, x):
        time.sleep(self.seconds)
        self.calls.append((self.training, torch.is_inference_mode_enabled(), len(x)))
        return x


def test_latency_of_a_known_sleep_is_measured():
    figures = latency(Sleeper(0.004), (torch.randn(1, 2),), device=CPU)
    assert 3.9 < figures.values["latency_p50_ms"] < 40
    assert figures.values["latency_p50_ms"] <= figures.values["latency_p95_ms"]
    assert not figures.reasons


def test_latency_leaves_every_mode_as_it_was():
    model = Sleeper()
    latency(model, (torch.randn(1, 2),), device=CPU, calls=3)
    assert set(model.calls) == {(False, True, 1)}
    assert (model.training, model.dropout.training) == (True, False)
    assert not torch.is_inference_mode_enabled()


def test_modes_are_given_back_when_the_model_fails():
    model = Sleeper()
    with pytest.raises(TypeError):
        latency(model, (), device=CPU)
    assert model.training
    assert not torch.is_inference_mode_enabled()


def test_the_cap_bounds_slow_calls_and_one_call_is_always_timed():
    calls = []
    timings = time_calls(lambda: (calls.append(1), time.sleep(0.05)), device=CPU, cap_s=0.01)
    assert (len(timings.seconds), len(calls), timings.settled) == (1, 2, False)


def test_no_more_calls_are_timed_than_asked_for():
    assert len(time_calls(lambda: time.sleep(0.001), device=CPU, calls=7, cap_s=5.0).seconds) == 7


def test_warming_up_lasts_until_three_blocks_agree(monkeypatch):
    slow_start = iter([0.9] * 5 + [0.5] * 5 + [0.101] * 5 + [0.1] * 10 + [0.2, 0.3])
    monkeypatch.setattr("harness.measure.timing.elapsed_s", lambda *_: next(slow_start))
    assert time_calls(lambda: None, device=CPU, calls=2, cap_s=60.0) == Timings((0.2, 0.3), settled=True)


def test_warming_up_that_never_settles_says_so(monkeypatch):
    durations = iter(2.0**power for power in range(10_000))
    clock = iter(range(10_000))
    monkeypatch.setattr("harness.measure.timing.elapsed_s", lambda *_: next(durations))
    monkeypatch.setattr("harness.measure.timing.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert not time_calls(lambda: None, device=CPU, calls=2, cap_s=60.0).settled


@given(seconds=st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=50), share=st.sampled_from([0.5, 0.95]))
@settings(max_examples=25)
def test_a_quantile_is_the_least_time_that_enough_calls_did_not_exceed(seconds, share):
    enough = [s for s in sorted(seconds) if sum(other <= s for other in seconds) >= share * len(seconds)]
    assert Timings(tuple(seconds), settled=True).quantile(share) == enough[0]


def test_throughput_of_a_known_sleep_is_measured():
    rate = throughput(lambda: time.sleep(0.002), 10, device=CPU, min_s=0.04, cap_s=0.2)
    assert 500 < rate <= 5000


def test_throughput_measures_even_when_one_call_exceeds_the_cap():
    rate = throughput(lambda: time.sleep(0.02), 1, device=CPU, min_s=0.01, cap_s=0.001)
    assert 5 < rate <= 50


def test_inference_throughput_counts_the_samples_of_all_batches_and_leaves_modes():
    model = Sleeper(0.002)
    batches = [(torch.randn(6, 2),), (torch.randn(2, 2),)]
    figures = inference_throughput(model, batches, device=CPU, min_s=0.04, cap_s=0.2)
    assert 200 < figures.values["inference_samples_s"] <= 2000  # 8 samples in at least 4 ms
    assert set(model.calls) == {(False, True, 6), (False, True, 2)}
    assert model.training


def test_inference_throughput_without_samples_is_nan_with_a_reason():
    figures = inference_throughput(Sleeper(), [], device=CPU)
    assert figures.values["inference_samples_s"] != figures.values["inference_samples_s"]
    assert figures.reasons["inference_samples_s"]


def test_synchronising_the_cpu_returns():
    synchronize(CPU)


@pytest.mark.gpu
@needs_cuda
def test_cuda_times_cover_the_work_of_the_device():
    device = torch.device("cuda", 0)
    x = torch.randn(4096, 4096, device=device)

    def products():
        for _ in range(20):
            x @ x

    measured = time_calls(products, device=device, cap_s=1.0).quantile(0.5)
    synchronize(device)
    start = time.perf_counter()
    products()
    synchronize(device)
    assert measured == pytest.approx(time.perf_counter() - start, rel=0.5)
