"""Fakes that follow the protocols of the data floor, and a Fit with everything at its simplest."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.data import Batch
from harness.records import Named, Plan, TaskKind, TaskShape, table_inputs
from harness.spec import Training
from harness.train import Fit

LABELS = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(5))
VALUES = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(5))


class ListBatches:
    """The same batches, in the same order, every epoch."""

    path = "resident"
    reason = "a test"

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = list(batches)
        self.batch_size = len(self.batches[0].targets) if self.batches else 1
        self.samples = sum(len(batch.targets) for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int) -> Iterator[Batch]:
        assert number >= 1
        return iter(self.batches)


@pytest.fixture
def labelled() -> Callable[..., ListBatches]:
    """Batches of three classes that a line can tell apart."""

    def make(batches: int = 4, size: int = 16, seed: int = 0, classes: int = 3) -> ListBatches:
        generator = torch.Generator().manual_seed(seed)
        centres_CF = 2 * torch.eye(classes, 5)
        made = []
        for _ in range(batches):
            targets = torch.randint(classes, (size,), generator=generator)
            made.append(Batch((centres_CF[targets] + torch.randn(size, 5, generator=generator) / 2,), targets))
        return ListBatches(made)

    return make


@pytest.fixture
def valued() -> Callable[..., ListBatches]:
    """Batches of values that depend linearly on the inputs, less their mean as those of a part are."""

    def make(batches: int = 4, size: int = 16, seed: int = 0) -> ListBatches:
        generator = torch.Generator().manual_seed(seed)
        made = []
        for _ in range(batches):
            x_BF = torch.randn(size, 5, generator=generator)
            made.append(Batch((x_BF,), 100 * x_BF[:, 0]))
        return ListBatches(made)

    return make


@pytest.fixture
def mlp() -> Callable[..., nn.Sequential]:
    def make(outputs: int = 3, *, dropout: float = 0.0, seed: int = 0, width: int = 8) -> nn.Sequential:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, outputs))

    return make


@pytest.fixture
def plan() -> Callable[..., Plan]:
    def make(**changes: Any) -> Plan:
        fields = {
            "device": "cpu",
            "precision": "fp32",
            "precision_ratio": float("nan"),
            "precision_reason": "a test",
            "batch_size": 16,
            "layout": "contiguous",
            "layout_reason": "",
            "data_path": "resident",
            "data_reason": "a test",
            "threads": torch.get_num_threads(),
        }
        return Plan(**{**fields, **changes})

    return make


@pytest.fixture
def make_fit(plan: Callable[..., Plan]) -> Callable[..., Fit]:
    def make(model: nn.Module, train: ListBatches, validation: ListBatches | None = None, **changes: Any) -> Fit:
        options = {
            "shape": LABELS,
            "training": Training(),
            "optimizer": Named("sgd", {"lr": 0.1, "momentum": 0.0}),
            "schedule": Named("constant"),
            "plan": plan(),
            "epochs": 3,
            "seed": 0,
        }
        return Fit(model, train=train, validation=validation, **{**options, **changes})

    return make


@pytest.fixture
def labels_shape() -> TaskShape:
    return LABELS


@pytest.fixture
def values_shape() -> TaskShape:
    return VALUES


@pytest.fixture
def weights_of() -> Callable[[nn.Module], list[Tensor]]:
    return lambda model: [parameter.detach().clone() for parameter in model.parameters()]
