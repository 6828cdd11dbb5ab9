"""What a batch costs, as the task's problem says.

The loss that is minimised has label smoothing, class weights and both targets of mixed samples in it. The plain loss
has none of them, so that candidates which differ in them can be compared by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.data import Batch
from harness.models import Members, Outputs
from harness.problems import Criterion, problems
from harness.records import TaskShape
from harness.spec.training import Training

__all__ = ["Criterion", "cost", "loss_name", "make_criterion", "outputs_for"]


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


def cost(criterion: Criterion, outputs: Outputs, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the loss that is minimised, without L1, and the scores of the batch.

    Of several members in one the loss is the mean of theirs, as of a batch that holds the samples once for each.
    """
    scores = criterion.scores(outputs)
    if not isinstance(outputs, Members):
        return criterion.training_loss(scores, batch), scores
    of_each = criterion.scores(outputs.each.flatten(0, 1))
    return criterion.training_loss(of_each, _repeated(batch, len(outputs.each))), scores


def _repeated(batch: Batch, times: int) -> Batch:
    """Return the targets so many times over, without the inputs."""
    targets, mixed, mix = (
        None if each is None else torch.cat([each] * times) for each in (batch.targets, batch.mixed_targets, batch.mix)
    )
    assert targets is not None
    return Batch((), targets, mixed, mix)
