"""The training loop that is written by hand: DataLoaders, a step, validation after every epoch, the best score kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from candidates import Candidate, Option
from networks import build, optimizer_of
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

Images = DataLoader[tuple[Tensor, ...]]


class Data(NamedTuple):
    """Images and classes of the training and the validation part."""

    train: TensorDataset
    validation: TensorDataset

    def loaders(self, batch_size: int) -> tuple[Images, Images]:
        """Return one loader for each part."""
        return (
            DataLoader(self.train, batch_size=batch_size, shuffle=True),
            DataLoader(self.validation, batch_size=batch_size),
        )


def train(
    candidate: Candidate, data: Data, epochs: int, seed: int, report: Callable[[float], object] | None = None
) -> float:
    """Train and return the best validation accuracy of all epochs; ``report`` hears of it after each."""
    torch.manual_seed(seed)
    training, validation = data.loaders(candidate.batch_size)
    model = build(candidate.architecture)
    optimizer = optimizer_of(candidate.optimizer, model)
    scheduler = LambdaLR(optimizer, factor(candidate.schedule, len(training), epochs))
    criterion = nn.CrossEntropyLoss(label_smoothing=candidate.label_smoothing)
    best = 0.0
    for _ in range(epochs):
        model.train()
        for x, y in training:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
            scheduler.step()
        best = max(best, accuracy(model, validation))
        if report is not None:
            report(best)
    return best


def accuracy(model: nn.Module, loader: Images) -> float:
    """Return the share of samples whose most probable class is theirs."""
    model.eval()
    correct = samples = 0
    with torch.no_grad():
        for x, y in loader:
            correct += int((model(x).argmax(dim=1) == y).sum())
            samples += len(y)
    return correct / samples


def factor(schedule: Option, steps_an_epoch: int, epochs: int) -> Callable[[int], float]:
    """Return the factor of the learning rate at a step: half a cosine after a linear warm-up, or 1."""
    if schedule.name == "constant":
        return lambda _: 1.0
    warmup: int = round(schedule.parameters.get("warmup_epochs", 0.0) * steps_an_epoch)
    rest = epochs * steps_an_epoch - warmup

    def cosine(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * (step - warmup) / rest)) / 2

    return cosine
