"""MLPs of one structure as one network: its layers are theirs, stacked.

Shape legend: K models, B batch, F features, C categorical columns, E what embeddings make of one, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.models.families.mlp import MLP
from harness.models.layers import Residual
from harness.train.stack.layers import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    Dropout,
    GroupNorm,
    Layer,
    Linear,
    Step,
)
from harness.train.stack.slabs import Buffers, Stacked


class Network:
    """Computes what the models would, each on inputs of its own."""

    def __init__(self, models: Sequence[MLP]) -> None:
        self._embeddings = _Embeddings(models) if models[0].embeddings else None
        hidden, output = stacked([model.hidden for model in models]), Linear([model.output for model in models])
        self._body = _Sequence([hidden, output])

    def forward(self, x_KBF: Tensor, codes_KBC: Tensor | None, step: Step) -> Tensor:
        """Return ``K x B x O``; without a step as models in use do."""
        if self._embeddings is not None:
            assert codes_KBC is not None
            x_KBF = self._embeddings.forward(x_KBF, codes_KBC)
        return self._body.forward(x_KBF, step)

    def backward(self, gradient_KBO: Tensor) -> None:
        """Write the gradients of all parameters, of the last call in training."""
        gradient = self._body.backward(gradient_KBO, needed=self._embeddings is not None)
        if self._embeddings is not None:
            self._embeddings.backward(gradient)

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the models at these places; the others have tensors of their own again."""
        self._body.keep(places)
        if self._embeddings is not None:
            self._embeddings.keep(places)


def stacked(modules: Sequence[nn.Module]) -> Layer:
    """Return the same layer of several models as one."""
    first = modules[0]
    if isinstance(first, nn.Linear):
        return Linear([module for module in modules if isinstance(module, nn.Linear)])
    if isinstance(first, nn.BatchNorm1d):
        return BatchNorm([module for module in modules if isinstance(module, nn.BatchNorm1d)])
    if isinstance(first, nn.LayerNorm):
        return GroupNorm([module for module in modules if isinstance(module, nn.LayerNorm)])
    if isinstance(first, nn.GroupNorm):
        return GroupNorm([module for module in modules if isinstance(module, nn.GroupNorm)])
    if isinstance(first, Residual):
        return _Around([module for module in modules if isinstance(module, Residual)])
    if type(first) in ACTIVATIONS:
        return Activation(modules)
    assert isinstance(first, nn.Sequential), f"no stack of {type(first).__name__}"
    return _Sequence(_parts([module for module in modules if isinstance(module, nn.Sequential)]))


def _parts(sequences: Sequence[nn.Sequential]) -> list[Layer]:
    """Return the layers of sequences that differ at most in having dropout."""
    longest = max(sequences, key=len)
    layers: list[Layer] = []
    for name, _ in longest.named_children():
        if name == "dropout":
            layers.append(Dropout([getattr(sequence, name, None) for sequence in sequences]))
        else:
            layers.append(stacked([getattr(sequence, name) for sequence in sequences]))
    return layers


class _Sequence:
    """Layers one after the other."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = list(layers)

    def forward(self, x_KBI: Tensor, step: Step) -> Tensor:
        for layer in self._layers:
            x_KBI = layer.forward(x_KBI, step)
        return x_KBI

    def backward(self, gradient_KBO: Tensor, *, needed: bool) -> Tensor:
        for place in reversed(range(len(self._layers))):
            gradient_KBO = self._layers[place].backward(gradient_KBO, needed=needed or place > 0)
        return gradient_KBO

    def keep(self, places: Sequence[int]) -> None:
        for layer in self._layers:
            layer.keep(places)


class _Around:
    """Branches with connections around them."""

    def __init__(self, layers: Sequence[Residual]) -> None:
        self._branch = stacked([layer.branch for layer in layers])
        straight = isinstance(layers[0].skip, nn.Identity)
        self._skip = None if straight else stacked([layer.skip for layer in layers])
        self._buffers = Buffers()

    def forward(self, x_KBI: Tensor, step: Step) -> Tensor:
        skipped = x_KBI if self._skip is None else self._skip.forward(x_KBI, step)
        out_KBO = self._branch.forward(x_KBI, step)
        return torch.add(skipped, out_KBO, out=self._buffers.get("output", out_KBO))

    def backward(self, gradient_KBO: Tensor, *, needed: bool) -> Tensor:
        skipped = gradient_KBO if self._skip is None else self._skip.backward(gradient_KBO, needed=needed)
        branched = self._branch.backward(gradient_KBO, needed=needed)
        return torch.add(skipped, branched, out=self._buffers.get("gradient", branched))

    def keep(self, places: Sequence[int]) -> None:
        for layer in filter(None, (self._branch, self._skip)):
            layer.keep(places)
        self._buffers.clear()


class _Embeddings:
    """Appends to numbers the vectors of codes, column by column."""

    def __init__(self, models: Sequence[MLP]) -> None:
        columns = range(len(models[0].embeddings))
        self._tables = [Stacked([model.embeddings[column] for model in models], "weight") for column in columns]
        self._buffers = Buffers()

    def forward(self, x_KBF: Tensor, codes_KBC: Tensor) -> Tensor:
        self._codes_KBC, self._numbers = codes_KBC, x_KBF.shape[2]
        self._own_K1 = torch.arange(len(x_KBF)).unsqueeze(1)
        width = self._numbers + sum(table.value.shape[2] for table in self._tables)
        out = self._buffers.get("output", x_KBF, width)
        parts_KBE = [table.value[self._own_K1, codes_KBC[:, :, at]] for at, table in enumerate(self._tables)]
        return out.copy_(torch.cat([x_KBF, *parts_KBE], dim=2))

    def backward(self, gradient_KBF: Tensor) -> None:
        widths = [table.value.shape[2] for table in self._tables]
        of_columns = gradient_KBF[:, :, self._numbers :].split(widths, dim=2)
        for column, (table, gradient_KBE) in enumerate(zip(self._tables, of_columns, strict=True)):
            table.gradient.zero_()
            table.gradient.index_put_((self._own_K1, self._codes_KBC[:, :, column]), gradient_KBE, accumulate=True)

    def keep(self, places: Sequence[int]) -> None:
        for table in self._tables:
            table.keep(places)
        self._buffers.clear()
