"""The networks of the space files, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from candidates import Option
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
CLASSES = 10
PIXELS = 64


def build(architecture: Option) -> nn.Module:
    """Return the network for images of 1 x 8 x 8."""
    kinds: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "cnn": CNN}
    return kinds[architecture.name](**architecture.parameters)


def mlp(*, depth: int, width: int, activation: str = "relu", norm: str = "none", dropout: float = 0.0) -> nn.Module:
    """Return ``depth`` hidden layers of one width."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in [PIXELS, *[width] * (depth - 1)]:
        layers.append(nn.Linear(inputs, width, bias=norm != "batch"))
        if norm != "none":
            layers.append(nn.BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


class CNN(nn.Module):
    """One convolution in each stage, at half the resolution and twice the width of the stage before."""

    def __init__(self, *, stages: int, width: int, activation: str, norm: str, dropout: float, residual: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=norm != "batch")
        blocks = []
        for _ in range(stages - 1):
            blocks += [nn.MaxPool2d(2), Block(width, activation, norm, residual)]
            width *= 2
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(norm_of(norm, width), ACTIVATIONS[activation]())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, one row a sample."""
        logits: Tensor = self.head(self.last(self.blocks(self.stem(x))).mean(dim=(2, 3)))
        return logits


class Block(nn.Module):
    """Norm, activation and a convolution to twice the channels, with a connection around them where asked for."""

    def __init__(self, width: int, activation: str, norm: str, residual: bool) -> None:
        super().__init__()
        convolution = nn.Conv2d(width, 2 * width, 3, padding=1, bias=norm != "batch")
        self.branch = nn.Sequential(norm_of(norm, width), ACTIVATIONS[activation](), convolution)
        self.skip = nn.Conv2d(width, 2 * width, 1, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with twice the channels."""
        out: Tensor = self.branch(x)
        return out if self.skip is None else out + self.skip(x)


def norm_of(kind: str, width: int) -> nn.Module:
    """Return a norm over the channels of a map; groups have eight channels at least."""
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(max(1, width // 8), width)


def optimizer_of(chosen: Option, model: nn.Module) -> torch.optim.Optimizer:
    """Return torch's optimiser of that name, as it comes."""
    kinds: dict[str, Any] = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    optimizer: torch.optim.Optimizer = kinds[chosen.name](model.parameters(), **chosen.parameters)
    return optimizer
