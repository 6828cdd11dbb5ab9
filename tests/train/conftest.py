"""Fakes that follow the protocols of the data floor, and a Fit with everything at its simplest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.data import Batch
from harness.records import Named, Plan, TaskKind, TaskShape, table_inputs
from harness.spec import Candidate, Training
from harness.spec.names import SCHEDULES
from harness.train import Fit, Supervised, Targets

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


@pytest.fixture(scope="session")
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
        shape = changes.pop("shape", LABELS)
        targets = Targets(shape, changes.pop("class_counts", None))
        candidate = Candidate(
            Named("a test"),
            changes.pop("optimizer", Named("sgd", {"lr": 0.1, "momentum": 0.0})),
            changes.pop("schedule", Named("constant")),
            changes.pop("training", Training()),
            **{key: changes.pop(key) for key in SCHEDULES if key in changes},
        )
        followed = replace(changes.pop("plan", plan()), micro_batch=changes.pop("micro_batch", 0))
        of_kind = ("f1_macro", True) if shape.kind is TaskKind.CLASSIFICATION else ("rmse", False)
        options = {"objective": of_kind, "epochs": 3, "seed": 0, **changes}
        return Fit(Supervised(model, candidate, targets, followed), train, validation, **options)

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
