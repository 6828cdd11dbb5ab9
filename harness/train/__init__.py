"""Training: optimisers, schedules and losses by name, the loop that uses them, and its checkpoints."""

from __future__ import annotations

from harness.train.checkpoint import pack, read_facts, unpack
from harness.train.evaluation import Evaluation, evaluate, predict
from harness.train.loop import Fit, never
from harness.train.loss import outputs_for
from harness.train.optimizer import build_optimizer, optimizers, state_per_parameter, validate_optimizer
from harness.train.schedule import anneals, build_schedule, schedules, validate_schedule

__all__ = [
    "Evaluation",
    "Fit",
    "anneals",
    "build_optimizer",
    "build_schedule",
    "evaluate",
    "never",
    "optimizers",
    "outputs_for",
    "pack",
    "predict",
    "read_facts",
    "schedules",
    "state_per_parameter",
    "unpack",
    "validate_optimizer",
    "validate_schedule",
]
