import pytest
import torch
from torch import nn

from harness.data import Batch
from harness.plan import Loss, precision

SQUARES = Loss("squares", lambda outputs, targets: outputs.square().mean() + 0 * targets.sum())
NOT_HERE = {"fp32": "", "tf32": "no tensor cores", "bf16": "no AMX", "fp16": "slow"}


class OneBatch:
    path = "resident"
    reason = "it fits"
    samples = batch_size = 4

    def __init__(self, *inputs: torch.Tensor) -> None:
        self.batch = Batch(inputs, torch.zeros(4))

    def __len__(self):
        return 1

    def epoch(self, number):
        assert number == 1
        return iter([self.batch])


@pytest.fixture
def table():
    return OneBatch(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def images():
    return OneBatch(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def maps():
    """A batch and channels that are large enough for Winograd's algorithm."""
    return OneBatch(torch.randn(32, 32, 8, 8, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def squares():
    """A loss of any outputs."""
    return SQUARES


@pytest.fixture
def cpu():
    return torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def native(monkeypatch):
    """Say which precisions are native to the device; the others have the reasons in NOT_HERE. No work is too small."""

    def declare(*names: str) -> None:
        monkeypatch.setattr(precision, "native_precisions", lambda _device: NOT_HERE | dict.fromkeys(names, ""))

    declare()
    monkeypatch.setattr(precision, "SMALL_FLOPS", 0.0)
    return declare


@pytest.fixture
def clock(monkeypatch):
    """Let every comparison find these seconds instead of measuring; returns the list of what was compared."""
    compared: list[tuple[str, ...]] = []

    def fake(**seconds: float) -> list[tuple[str, ...]]:
        def compare(_probe, arms, *, budget_s, order=()):
            assert budget_s <= 1.0
            assert set(order) <= set(arms)
            compared.append(tuple(arms))
            return {name: seconds[name] for name in arms}

        monkeypatch.setattr("harness.plan.calibration.Probe.compare", compare)
        return compared

    return fake


@pytest.fixture
def cnn():
    return lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(256, 2))
