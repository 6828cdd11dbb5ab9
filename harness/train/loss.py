"""What a batch costs, as the task's problem says.

The loss that is minimised has label smoothing, class weights and both targets of mixed samples in it. The plain loss
has none of them, so that candidates which differ in them can be compared by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.problems import Criterion, problems
from harness.records import TaskShape
from harness.spec.training import Training

__all__ = ["Criterion", "loss_name", "make_criterion", "outputs_for"]


def loss_name(shape: TaskShape, loss: str) -> str:
    """Return the loss to use, ``auto`` resolved. Raises :class:`InputError` for one that does not fit the task."""
    return problems[shape.kind].loss_name(shape, loss)


def outputs_for(shape: TaskShape, loss: str) -> int:
    """Return how many outputs the model must have: 1 for ``binary``, else ``shape.outputs``. Raises InputError."""
    return problems[shape.kind].outputs_for(shape, loss)


def make_criterion(
    shape: TaskShape,
    training: Training,
    *,
    class_counts: Sequence[int] | None,
    device: torch.device,
) -> Criterion:
    """Return the loss that ``training`` asks for. Raises :class:`InputError` for options that do not fit the task."""
    return problems[shape.kind].criterion(shape, training, class_counts=class_counts, device=device)
