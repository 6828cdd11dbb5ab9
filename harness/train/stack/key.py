"""Which candidates can be trained as one program. By rule alone: no model is built, and no clock is looked at."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from math import prod

from harness import models
from harness.models.families.mlp import MLPConfig
from harness.plan.calibration import SMALL_FLOPS
from harness.problems import problems
from harness.records import TaskShape
from harness.spec import Augment, Candidate

FAMILY = "mlp"
PRECISIONS = ("auto", "fp32")


def stack_key(candidate: Candidate, shape: TaskShape) -> Hashable | None:
    """Return what candidates have in common that can be trained as one program on a CPU; None: it is trained alone.

    They have one structure, preprocessing, batch size and loss, and their weights are averaged or not; they may differ
    in all else: activation, dropout, optimiser, rate, decay, schedules, smoothing, penalties, epochs, patience and
    seed. Larger models gain nothing by it: a batch's forward pass is below SMALL_FLOPS. ``shape`` is that of the task.
    """
    training = candidate.training
    if candidate.architecture.name != FAMILY or not problems[shape.kind].stackable or shape.target is None:
        return None
    if training.augment != Augment() or training.precision not in PRECISIONS:
        return None
    if training.batch_size == "auto":
        return None
    config = models.parse(candidate.architecture)
    assert isinstance(config, MLPConfig)
    if config.norm == "batch" and (training.averages or training.batch_size == 1):  # averages look at all samples again
        return None
    if config.numeric == "periodic":  # encodings that learn have no layer here
        return None
    if training.batch_size * _flops(config, shape) > SMALL_FLOPS:
        return None
    loss = problems[shape.kind].loss_name(shape, training.loss)
    structure = tuple(config.widths()), config.norm, config.residual, config.numeric
    return structure, training.preprocessing, training.batch_size, loss, training.class_weights, training.averages


def _flops(config: MLPConfig, shape: TaskShape) -> float:
    """Return what a forward pass of one sample computes, about: of what columns become before it a part is left out."""
    widths = [prod(shape.inputs[0].sizes), *config.widths(), shape.outputs]
    return 2.0 * sum(before * after for before, after in pairwise(widths))
