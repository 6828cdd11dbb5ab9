import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from harness.data import Batch
from harness.hardware import synchronize
from harness.plan import Loss
from harness.plan.calibration import Probe, fastest, interleaved, shape_key


def test_the_medians_are_seconds_per_call():
    seconds = interleaved(
        {"slow": lambda: time.sleep(0.012), "fast": lambda: time.sleep(0.003)}, lambda: None, budget_s=0.1
    )
    assert seconds["slow"] == pytest.approx(0.012, rel=0.5)
    assert seconds["fast"] == pytest.approx(0.003, rel=0.9)
    assert seconds["slow"] > seconds["fast"]


def test_the_arms_take_turns_and_wait_for_the_device():
    calls = []
    arms = {name: lambda name=name: calls.append(name) or time.sleep(0.011) for name in "ab"}
    interleaved(arms, lambda: calls.append("wait"), budget_s=0.0)
    in_turn = [call for call in calls if call != "wait"][4:]  # after two warm-up calls of each
    assert in_turn == ["a", "b"] * 3
    assert calls.count("wait") == 2 * (4 + 6)


@pytest.mark.parametrize(("faster", "rounds"), [([2.0, 2.0, 2.0, 2.0], 3), ([2.0, 0.9, 2.0, 2.0], 4)])
def test_rounds_end_once_all_of_them_say_the_same_arm(monkeypatch, faster, rounds):
    ratios = iter(faster)
    timed = []

    def seconds(arm, _calls, _settle):
        timed.append(arm())
        return 1.0 if arm() == "a" else 1.0 / next(ratios)

    monkeypatch.setattr("harness.plan.calibration._block", lambda *_: 1)
    monkeypatch.setattr("harness.plan.calibration._timed", seconds)
    clock = iter(range(100))
    monkeypatch.setattr("harness.plan.calibration.time.perf_counter", lambda: next(clock))
    arms = {name: lambda name=name: name for name in "ab"}
    # A tick for the start, and one for each question whether a round is to follow the third.
    assert interleaved(arms, lambda: None, budget_s=2.0, order="ab")["b"] == pytest.approx(0.5)
    assert timed == ["a", "b"] * rounds


def test_the_more_trusted_wins_unless_clearly_beaten():
    assert fastest({"a": 1.0, "b": 0.96, "c": 0.95}, "abc") == "c"
    assert fastest({"a": 1.0, "b": 0.96, "c": 0.96}, "abc") == "a"
    assert fastest({"a": 1.0, "b": 0.5, "c": 0.49}, "abc") == "b"


def test_a_probe_step_trains_nothing_and_keeps_no_gradients(squares):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    before = [parameter.clone() for parameter in model.parameters()]
    probe = Probe(lambda: model, Batch((torch.randn(2, 1, 4, 4),), torch.zeros(2)), torch.device("cpu"), squares)
    for precision in ("fp32", "bf16"):
        probe.step(precision=precision, layout="channels_last")()
    assert all(map(torch.equal, model.parameters(), before))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_gpu_that_is_waited_for_is_the_one_that_was_measured(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device))
    synchronize(torch.device("cuda", 1))
    synchronize(torch.device("cpu"))
    assert waited == [torch.device("cuda", 1)]


def key(model, configuration=""):
    return shape_key(model, configuration, (torch.zeros(2, 3),), torch.device("cpu"))


def test_the_key_tells_layers_apart_that_have_the_same_weights():
    assert key(nn.Conv2d(1, 2, 3)) != key(nn.Conv2d(1, 2, 3, stride=2))
    assert key(nn.Linear(2, 3)) == key(nn.Linear(2, 3))
    assert key(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) != key(nn.Sequential(nn.Linear(2, 3), nn.Tanh()))


def test_the_key_tells_configurations_apart_that_leave_no_trace_in_the_layers():
    two, eight = nn.MultiheadAttention(16, 2), nn.MultiheadAttention(16, 8)
    assert key(two) == key(eight), "or the configuration would not be needed"
    assert key(two, "heads 2") != key(eight, "heads 8")


def test_the_step_that_is_timed_goes_back_from_the_task_s_own_loss(squares):
    seen = []

    def function(outputs, targets):
        seen.append((outputs.shape, targets.tolist()))
        return squares.function(outputs, targets)

    batch = Batch((torch.randn(2, 3),), torch.tensor([1.0, 2.0]))
    probe = Probe(lambda: nn.Linear(3, 2), batch, torch.device("cpu"), Loss("own", function))
    probe.step(precision="fp32", layout="contiguous")()
    assert seen == [((2, 2), [1.0, 2.0])]
    assert probe.key != replace(probe, loss=squares).key
