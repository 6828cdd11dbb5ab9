"""How many workers ``auto`` stands for."""

from types import SimpleNamespace

import pytest
import torch

from harness.spec import parse_spec
from harness.study.execute import execution
from harness.study.execute.execution import LITTLE, WORKER_MIB, Execution, at_once, is_little, worker_count


def spec_of(*overrides):
    return parse_spec("task: digits\nspace: {architecture: {mlp: {width: [8, 16]}}}", origin="x", overrides=overrides)


@pytest.mark.parametrize(
    ("cores", "trials", "free_mib", "workers"),
    [
        (8, 30, 64 * 1024, 8),
        (8, 7, 64 * 1024, 4),
        (8, 2, 64 * 1024, 1),
        (64, 30, 4 * 1024, 4 * 1024 // WORKER_MIB),
        (64, 30, 100, 1),
        (64, 1000, 640 * 1024, 8),
    ],
)
def test_auto_is_bounded_by_cores_trials_and_memory(monkeypatch, cores, trials, free_mib, workers):
    """In a container of 4 GiB on a host of 64 cores, 64 processes would be killed for want of memory."""
    monkeypatch.setattr(execution, "usable_cores", lambda: cores)
    monkeypatch.setattr(execution, "free_host_mib", lambda: free_mib)
    job = SimpleNamespace(device=torch.device("cpu"), spec=spec_of(f"budget.trials={trials}"))
    assert worker_count("auto", job, gpus=0) == workers
    assert worker_count(7, job, gpus=0) == 7, "what was asked for is not changed"


@pytest.mark.parametrize(
    "asked",
    [
        "limits.latency_ms=5",
        "limits.train_seconds=60",
        "objective={accuracy: maximize, latency_ms: minimize}",
        "objective={accuracy: maximize, train_samples_s: maximize}",
        "objective={accuracy: maximize, inference_samples_s: maximize}",
        "objective={accuracy: maximize, energy_j: minimize}",
    ],
)
def test_what_a_trial_beside_would_change_is_measured_of_one_trial_at_a_time(monkeypatch, asked):
    monkeypatch.setattr(execution, "usable_cores", lambda: 8)
    job = SimpleNamespace(device=torch.device("cpu"), spec=spec_of(asked))
    assert worker_count("auto", job, gpus=0) == 1
    job.spec = spec_of("limits.parameters=1000")
    assert worker_count("auto", job, gpus=0) > 1


@pytest.mark.parametrize(
    ("asked", "changed", "little"),
    [
        (["budget.trials=1"], {}, True),
        (["budget.trials=2"], {}, True),
        (["budget.trials=3"], {}, False),
        (["budget.trials=2"], {"dataset": SimpleNamespace(train=range(LITTLE // 40 + 1))}, False),
        (["budget.trials=2"], {"trainings": 3}, False),
        (["budget.trials=1", "budget.epochs=200"], {}, False),
        (["budget.trials=1", "budget.trial_time=5m"], {}, False),
        (["budget.trials=1"], {"trust": True}, False),
        (["budget.trials=1"], {"device": torch.device("cuda")}, False),
    ],
)
def test_what_is_over_before_a_process_would_have_started_is_little(asked, changed, little):
    job = {"device": torch.device("cpu"), "trust": False, "trainings": 1, "dataset": SimpleNamespace(train=range(1150))}
    assert is_little(SimpleNamespace(spec=spec_of(*asked), **{**job, **changed})) is little


@pytest.mark.parametrize(
    ("device", "workers", "gpus", "count"),
    [
        ("cpu", "auto", 0, 4),
        ("cpu", 0, 0, 1),
        ("cpu", 3, 0, 3),
        ("cuda", 4, 1, 1),
        ("cuda", 4, 2, 2),
        ("cuda", 1, 2, 1),
    ],
)
def test_so_many_trials_get_on_at_once(monkeypatch, device, workers, gpus, count):
    monkeypatch.setattr(execution, "usable_cores", lambda: 4)
    monkeypatch.setattr(execution, "free_host_mib", lambda: 64 * 1024)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    spec = spec_of("budget.trials=30")
    samples = {"trainings": 1, "trust": False, "dataset": SimpleNamespace(train=range(1000))}
    job = SimpleNamespace(device=torch.device(device, 0 if gpus else None), spec=spec, **samples)
    assert at_once(Execution(workers, every_gpu=True), job) == count


def test_a_search_that_is_over_at_once_trains_one_after_the_other(monkeypatch):
    monkeypatch.setattr(execution, "usable_cores", lambda: 4)
    samples = {"trainings": 1, "trust": False, "dataset": SimpleNamespace(train=range(10))}
    job = SimpleNamespace(device=torch.device("cpu"), spec=spec_of("budget.trials=2"), **samples)
    assert at_once(Execution(), job) == 1
