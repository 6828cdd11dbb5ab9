"""How a model is called from outside its training: with what, and in which mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.records import TaskShape


def example_inputs(shape: TaskShape, *, batch: int = 1, device: torch.device | str | None = None) -> tuple[Tensor, ...]:
    """Return zeros with the shapes and types that a model of this task is called with.

    ``x_BCHW`` for images, else ``x_BF`` and, where there are categorical columns, ``c_BK``. Meant for probing
    shapes and for the meta device; measure speed on real or random samples.
    """
    if shape.image is not None:
        return (torch.zeros(batch, *shape.image, device=device),)
    x_BF = torch.zeros(batch, shape.features, device=device)
    if not shape.cardinalities:
        return (x_BF,)
    return x_BF, torch.zeros(batch, len(shape.cardinalities), dtype=torch.int64, device=device)


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
