"""How many workers ``auto`` stands for."""

from types import SimpleNamespace

import pytest
import torch

from harness.study.execute import execution
from harness.study.execute.execution import WORKER_MIB, worker_count


@pytest.mark.parametrize(
    ("cores", "trials", "free_mib", "workers"),
    [
        (8, 30, 64 * 1024, 8),
        (8, 3, 64 * 1024, 3),
        (64, 30, 4 * 1024, 4 * 1024 // WORKER_MIB),
        (64, 30, 100, 1),
    ],
)
def test_auto_is_bounded_by_cores_trials_and_memory(monkeypatch, cores, trials, free_mib, workers):
    """In a container of 4 GiB on a host of 64 cores, 64 processes would be killed for want of memory."""
    monkeypatch.setattr(execution, "usable_cores", lambda: cores)
    monkeypatch.setattr(execution, "free_host_mib", lambda: free_mib)
    job = SimpleNamespace(device=torch.device("cpu"), spec=SimpleNamespace(total=trials))
    assert worker_count("auto", job, gpus=0) == workers
    assert worker_count(7, job, gpus=0) == 7, "what was asked for is not changed"
