from dataclasses import replace

import pytest
import torch
from torch import nn

from harness.data import Batch
from harness.plan import Memory
from harness.plan.calibration import Probe
from harness.plan.threads import choose_threads, thread_counts


@pytest.fixture
def probe(monkeypatch, cpu, squares):
    """A model whose step counts as large enough to be shared."""
    monkeypatch.setattr("harness.plan.threads.SMALL_FLOPS", 0.0)
    return Probe(lambda: nn.Linear(3, 2), Batch((torch.randn(4, 3),), torch.zeros(4)), cpu, squares)


@pytest.fixture
def record(tmp_path):
    def record(name):
        (tmp_path / name).mkdir()
        return Memory(tmp_path / name)

    return record


def chosen(probe, most, memory):
    return choose_threads(probe, "fp32", most, memory)


def test_numbers_of_threads_to_choose_from():
    assert [thread_counts(most) for most in (0, 1, 2, 6, 16)] == [(1,), (1,), (2, 1), (6, 3, 1), (16, 8, 4, 2, 1)]


@pytest.mark.parametrize(
    ("two", "threads", "ratio", "reason"),
    [
        (0.6, "2", 1 / 0.6, "2: 2 measured 1.67x 1"),
        (0.9, "1", 0.9, "1: 2 measured 1.11x 1"),
        (4.0, "1", 4.0, "1: 2 measured 0.25x 1"),
    ],
)
def test_a_second_thread_must_pay_clearly(probe, clock, two, threads, ratio, reason):
    clock(**{"1": 1.0, "2": two})
    choice = chosen(probe, 2, Memory())
    assert (choice.value, choice.reason) == (threads, reason)
    assert choice.ratio == pytest.approx(ratio)


def test_threads_are_halved_until_half_of_them_cost_clearly(probe, clock):
    compared = clock(**{"8": 1.0, "4": 1.1, "2": 1.2, "1": 2.2})
    assert chosen(probe, 8, Memory()).value == "2"
    assert compared == [("4", "8"), ("2", "4"), ("1", "2")]


def test_where_all_of_them_pay_fewer_are_not_tried(probe, clock):
    compared = clock(**{"8": 1.0, "4": 1.9})
    assert chosen(probe, 8, Memory()).value == "8"
    assert compared == [("4", "8")]


@pytest.mark.parametrize(
    ("make_model", "inputs", "threads"),
    [
        (lambda: nn.Linear(100, 1000), torch.zeros(99, 100), "1"),
        (lambda: nn.Linear(100, 1000), torch.zeros(101, 100), "2"),
        (lambda: nn.Conv2d(10, 10, 3, padding=1), torch.zeros(7, 10, 30, 50), "1"),
        (lambda: nn.Conv2d(10, 10, 3, padding=1), torch.zeros(8, 10, 30, 50), "2"),
        (lambda: nn.LSTM(2, 2), torch.zeros(1, 1, 2), "2"),
        (nn.Flatten, torch.zeros(1000, 1000, 10), "1"),
    ],
    ids=["linear", "larger linear", "convolution", "larger convolution", "unknown", "nothing to multiply"],
)
def test_a_small_step_is_not_shared_by_rule(cpu, squares, clock, make_model, inputs, threads):
    """Below 20 MFLOP: 99 x 2 x 100 x 1,000 are 19.8, and 7 images of 30 x 50 x 2 x 9 x 10 x 10 are 18.9."""
    compared = clock(**{"1": 9.0, "2": 1.0})
    choice = chosen(Probe(make_model, Batch((inputs,), torch.zeros(len(inputs))), cpu, squares), 2, Memory())
    assert choice.value == threads
    assert compared == ([("1", "2")] if threads == "2" else [])
    if threads == "1":
        assert choice.reason.endswith("MFLOP of a batch are too few to share")


def test_there_may_be_nothing_to_choose(probe, clock):
    compared = clock()
    elsewhere = replace(probe, device=torch.device("meta"))
    assert chosen(probe, 1, Memory()).reason == "1: no more are to be had"
    assert chosen(probe, 64, None).reason == "1: by rule"
    assert chosen(elsewhere, 64, Memory()).reason == "1: the model computes on meta"
    assert compared == []


@pytest.mark.parametrize(
    ("before", "now", "threads"),
    [
        (1.3, 1.2, "2"),
        (1.3, 0.3, "1"),
        (1.2, 1.3, "1"),
        (0.3, 1.8, "2"),
    ],
    ids=["nearly as before", "a busy core", "nearly as before, the other way", "a core that was busy"],
)
def test_another_run_asks_again_and_keeps_what_is_not_clearly_wrong(probe, clock, record, before, now, threads):
    clock(**{"1": before, "2": 1.0})
    first = chosen(probe, 2, record("first"))
    clock(**{"1": now, "2": 1.0})
    second = record("second")
    assert chosen(probe, 2, second).value == threads
    clock(**{"1": before, "2": 1.0})
    assert chosen(probe, 2, second).value == threads, "a run keeps to its own record"
    assert chosen(probe, 2, record("third")).value == first.value


def test_a_real_step_is_measured_on_each_number_of_threads(probe, monkeypatch):
    monkeypatch.setattr("harness.plan.threads.BUDGET_S", 0.02)
    used = set()
    linear = nn.Linear(3, 2)
    linear.register_forward_hook(lambda *_: used.add(torch.get_num_threads()))
    before = torch.get_num_threads()
    probe = replace(probe, make_model=lambda: linear)
    choice = chosen(probe, 2, Memory())
    assert used >= {1, 2}
    assert choice.value in ("1", "2")
    assert torch.get_num_threads() == before
