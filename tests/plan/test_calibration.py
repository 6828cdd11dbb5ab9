import time

import pytest
import torch
from torch import nn

from harness.hardware import synchronize
from harness.plan.calibration import Probe, fastest, interleaved


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


def test_the_more_trusted_wins_unless_clearly_beaten():
    assert fastest({"a": 1.0, "b": 0.96, "c": 0.95}, "abc") == "c"
    assert fastest({"a": 1.0, "b": 0.96, "c": 0.96}, "abc") == "a"
    assert fastest({"a": 1.0, "b": 0.5, "c": 0.49}, "abc") == "b"


def test_a_probe_step_trains_nothing_and_keeps_no_gradients():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    before = [parameter.clone() for parameter in model.parameters()]
    probe = Probe(lambda: model, (torch.randn(2, 1, 4, 4),), torch.device("cpu"))
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


def test_the_key_tells_layers_apart_that_have_the_same_weights():
    def key(model):
        return Probe(lambda: model, (torch.zeros(2, 3),), torch.device("cpu")).key

    assert key(nn.Conv2d(1, 2, 3)) != key(nn.Conv2d(1, 2, 3, stride=2))
    assert key(nn.Linear(2, 3)) == key(nn.Linear(2, 3))
    assert key(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) != key(nn.Sequential(nn.Linear(2, 3), nn.Tanh()))
