"""How a model is called from outside its training: with what, and in which mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.records import Input, InputKind, TaskShape

LENGTH = 16
"""Of an example where a length varies."""


def example_inputs(shape: TaskShape, *, batch: int = 1, device: torch.device | str | None = None) -> tuple[Tensor, ...]:
    """Return tensors with the shapes and types that a model of this task is called with.

    They are zeros, and masks say that everything is there. Meant for probing shapes and for the meta device; measure
    speed on real or random samples.
    """

    def example(each: Input) -> Tensor:
        sizes = (LENGTH if size is None else size for size in each.shape)
        fill = each.kind is InputKind.MASK
        return torch.full((batch, *sizes), fill, dtype=getattr(torch, each.dtype), device=device)

    return tuple(map(example, shape.inputs))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and every module back into the mode it had afterwards.

    Not by ``train()``, which would thaw a part that was frozen in evaluation mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def begin_training(model: nn.Module) -> None:
    """Call the model's own ``train()``, and leave the parts in evaluation mode that are in it now.

    So both ways to freeze a part have their say: an override of ``train()``, and ``eval()`` on the part. A model that
    is in evaluation mode as a whole was left so by what loaded it, and is put into training mode as a whole.
    """
    frozen = [module for module in model.modules() if not module.training]
    whole = len(frozen) == sum(1 for _ in model.modules())
    model.train()
    for module in () if whole else frozen:
        module.training = False
