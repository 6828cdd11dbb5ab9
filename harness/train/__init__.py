"""Training: recipes, the optimisers, schedules and losses that they name, the loop, and its checkpoints."""

from __future__ import annotations

from harness.train.checkpoint import pack, read_facts, unpack
from harness.train.evaluation import Evaluation, evaluate, predict
from harness.train.learner import Learner
from harness.train.loop import Fit, never
from harness.train.loss import outputs_for
from harness.train.optimizer import build_optimizers, optimizers, state_per_parameter, validate_optimizer
from harness.train.recipe import Mean, Recipe, Taken
from harness.train.schedule import anneals, build_schedule, schedules, validate_schedule
from harness.train.staged import Staged
from harness.train.supervised import Supervised
from harness.train.targets import Targets

__all__ = [
    "Evaluation",
    "Fit",
    "Learner",
    "Mean",
    "Recipe",
    "Staged",
    "Supervised",
    "Taken",
    "Targets",
    "anneals",
    "build_optimizers",
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
