"""The reference models of the macro benchmarks. A name stands for one model for good: another size gets another name.

| name | one sample | layers | parameters | forward FLOPs of a sample |
| --- | --- | --- | --- | --- |
| ``mlp-1`` | 784 | 784-1024-1024-10, relu | 1,863,690 | 3.7 M |
| ``cnn-1`` | 3 x 32 x 32 | three residual blocks of 64, 128 and 256 channels | 1,227,594 | 389.4 M |
| ``lstm-1`` | 128 x 32 | one layer of 256, the last state read | 299,530 | 75.5 M |
| ``transformer-1`` | 128 x 64 | four layers of width 256, four heads, hidden 1024 | 3,211,530 | 876.6 M |

Each has a twin for a first look, ``mlp-1-small`` and so on. A multiply-add counts as 2 FLOPs; norms, activations,
biases and sums count 0. All are classifiers of 10 classes that take float32, so that no model waits for an embedding.

Shape legend: B batch, F features, S sequence, D width, H heads, K width of a head, C channels, O outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models import count_flops
from harness.records import NAN
from harness.registry import Registry

CLASSES = 10
BACKWARD = 2
"""Backward passes cost so many forward passes, by convention (Chowdhery et al., 2022, arXiv:2204.02311, appendix B).

It counts the gradient of the input too, which no step computes: 17 % too much for ``mlp-1`` (33 % for its twin), 4 %
for ``lstm-1`` (13 %), and under 1.5 % for the others.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A model of fixed size."""

    name: str
    sample: tuple[int, ...]
    """Shape of one sample."""
    widest: int
    """Elements of the largest tensor that one sample becomes."""
    build: Callable[[], nn.Module]
    """Draws the weights from torch's global generator."""
    formula_flops: float = NAN
    """Of one sample's forward pass, where torch's counter does not know the operations; NaN: it does."""
    not_compiled: str = ""
    """Why torch.compile would do nothing for it; empty: it does something."""


references: Registry[Reference] = Registry("reference model")


class MLP(nn.Module):
    """Two hidden layers. Not a bare ``nn.Sequential``, as torch.compile passes over code that is torch's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)
        )

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return ``B x O`` logits."""
        y_BO: Tensor = self.layers(x_BF)
        return y_BO


class Block(nn.Module):
    """Two 3 x 3 convolutions beside an identity, or a 1 x 1 projection (He et al., 2016, arXiv:1512.03385)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        projection = nn.Conv2d(before, after, 1, stride, bias=False)
        self.skip = nn.Identity() if before == after else nn.Sequential(projection, nn.BatchNorm2d(after))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the map at ``1 / stride`` of its height and width."""
        return functional.relu(self.skip(x_BCHW) + self.branch(x_BCHW))


class CNN(nn.Module):
    """A stem, then one residual block at each width, the map halved before every one but the first."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        pairs = itertools.pairwise((widths[0], *widths))
        self.blocks = nn.Sequential(
            *(Block(before, after, 1 if number == 0 else 2) for number, (before, after) in enumerate(pairs))
        )
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return ``B x O`` logits."""
        y_BO: Tensor = self.head(self.blocks(self.stem(x_BCHW)).mean(dim=(2, 3)))
        return y_BO


class LSTM(nn.Module):
    """One layer over the sequence; the last state is read."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, width, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x_BSF: Tensor) -> Tensor:
        """Return ``B x O`` logits."""
        states_BSD, _ = self.lstm(x_BSF)
        y_BO: Tensor = self.head(states_BSD[:, -1])
        return y_BO


class Layer(nn.Module):
    """Attention and a hidden layer of four times the width, each after a norm and beside an identity.

    Not ``nn.TransformerEncoderLayer``: that takes other kernels in inference, and this is to be the same work in both.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.hidden = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Return ``B x S x D``."""
        query_BHSK, key_BHSK, value_BHSK = (
            each_BSD.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for each_BSD in self.qkv(self.attention_norm(x_BSD)).chunk(3, dim=2)
        )
        seen_BHSK = functional.scaled_dot_product_attention(query_BHSK, key_BHSK, value_BHSK)
        x_BSD = x_BSD + self.out(seen_BHSK.transpose(1, 2).flatten(2))
        y_BSD: Tensor = x_BSD + self.hidden(x_BSD)
        return y_BSD


class Transformer(nn.Module):
    """Layers over embedded features with learned positions; the mean over the sequence is read."""

    def __init__(self, sequence: int, features: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(features, width)
        self.positions_SD = nn.Parameter(torch.randn(sequence, width) * 0.02)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x_BSF: Tensor) -> Tensor:
        """Return ``B x O`` logits."""
        x_BSD = self.layers(self.embedding(x_BSF) + self.positions_SD)
        y_BO: Tensor = self.head(self.norm(x_BSD).mean(dim=1))
        return y_BO


def flops(reference: Reference, *, batch: int, training: bool) -> tuple[float, str]:
    """Return the FLOPs of one step or inference, and where they come from: ``counter`` or ``formula``."""
    passes = 1 + BACKWARD if training else 1
    forward, source = _forward_flops(reference.name)
    return forward * batch * passes, source


@cache
def _forward_flops(name: str) -> tuple[float, str]:
    """Return the FLOPs of one sample's forward pass, and their source."""
    reference = references[name]
    if reference.formula_flops == reference.formula_flops:
        return reference.formula_flops, "formula"
    with torch.random.fork_rng(devices=[]):
        return count_flops(reference.build(), [torch.zeros(1, *reference.sample)]).values["flops"], "counter"


def lstm_flops(sequence: int, features: int, width: int) -> float:
    """Return ``S x 8 D (F + D)``, four gates of a multiply-add each from input and state, and the head's."""
    return sequence * 8.0 * width * (features + width) + 2.0 * width * CLASSES


def transformer_flops(sequence: int, features: int, width: int, layers: int) -> float:
    """Return the FLOPs of embedding, layers and head.

    A layer is ``24 S D^2`` for its four projections and its hidden layer, and ``4 S^2 D`` for scores and their sums.
    """
    layer = 24.0 * sequence * width**2 + 4.0 * sequence**2 * width
    return 2.0 * sequence * features * width + layers * layer + 2.0 * width * CLASSES


def _add_mlp(name: str, width: int) -> None:
    references.add(name, Reference(name=name, sample=(784,), widest=max(784, width), build=partial(MLP, width)))


def _add_cnn(name: str, widths: tuple[int, ...]) -> None:
    widest = widths[0] * 32 * 32
    references.add(name, Reference(name=name, sample=(3, 32, 32), widest=widest, build=partial(CNN, widths)))


def _add_lstm(name: str, sequence: int, features: int, width: int) -> None:
    model = Reference(
        name=name,
        sample=(sequence, features),
        widest=sequence * 4 * width,
        build=partial(LSTM, features, width),
        formula_flops=lstm_flops(sequence, features, width),
        not_compiled="torch.compile leaves nn.LSTM as it is",
    )
    references.add(name, model)


def _add_transformer(name: str, sequence: int, features: int, width: int, layers: int, heads: int) -> None:
    model = Reference(
        name=name,
        sample=(sequence, features),
        widest=sequence * max(4 * width, heads * sequence),
        build=partial(Transformer, sequence, features, width, layers, heads),
        formula_flops=transformer_flops(sequence, features, width, layers),
    )
    references.add(name, model)


_add_mlp("mlp-1", 1024)
_add_cnn("cnn-1", (64, 128, 256))
_add_lstm("lstm-1", 128, 32, 256)
_add_transformer("transformer-1", 128, 64, 256, 4, 4)
_add_mlp("mlp-1-small", 256)
_add_cnn("cnn-1-small", (16, 32, 64))
_add_lstm("lstm-1-small", 32, 32, 64)
_add_transformer("transformer-1-small", 32, 64, 64, 2, 2)

FULL = ("mlp-1", "cnn-1", "lstm-1", "transformer-1")
SMALL = tuple(f"{name}-small" for name in FULL)
