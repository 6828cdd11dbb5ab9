"""From a candidate to what trains it; the search and the final refit build alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from harness import measure, models
from harness.data import Batches, TrainingData, place
from harness.hardware import usable_cores
from harness.plan import make_plan
from harness.records import Figures, Plan, TaskKind
from harness.spec import Candidate
from harness.study.job import Job
from harness.train import Fit

EVALUATION_BATCH = 512
"""Batch size where nothing is learned: large enough to keep a device busy."""


def build_model(job: Job, candidate: Candidate, dataset: TrainingData, seed: int) -> nn.Module:
    """Return the candidate's model with weights drawn from ``seed``."""
    torch.manual_seed(seed)
    return models.build(candidate.architecture, job.model_shape(candidate, dataset), trust=job.trust)


def static_figures(job: Job, candidate: Candidate, model: nn.Module) -> Figures:
    """Return parameters and FLOPs of one sample's forward pass: what is known before anything runs."""
    parameters = Figures({"parameters": float(measure.count_parameters(model))})
    return parameters | measure.count_flops(model, job.model_shape(candidate, job.dataset))


def place_training(job: Job, candidate: Candidate, dataset: TrainingData, seed: int) -> Batches:
    """Return the shuffled, augmented training batches."""
    return place(
        dataset.train,
        device=job.device,
        batch_size=candidate.training.batch_size,
        seed=seed,
        shuffle=True,
        augment=candidate.training.augment,
    )


def plan_training(
    job: Job, candidate: Candidate, dataset: TrainingData, train: Batches, *, micro_batch: int = 0
) -> Plan:
    """Return how the candidate is trained on this device."""
    shape = job.model_shape(candidate, dataset)
    return make_plan(
        lambda: models.build(candidate.architecture, shape, trust=job.trust),
        train,
        device=job.device,
        precision=candidate.training.precision,
        micro_batch=micro_batch,
    )


def followed_here(plan: Plan, device: torch.device) -> Plan:
    """Return a plan that may have been made on another machine as it can be followed on this one."""
    return replace(plan, device=str(device), threads=min(plan.threads, usable_cores()))


def make_fit(
    job: Job,
    candidate: Candidate,
    dataset: TrainingData,
    model: nn.Module,
    train: Batches,
    validation: Batches | None,
    plan: Plan,
    *,
    seed: int,
    trial: int,
    stop: Callable[[], None],
) -> Fit:
    """Return the training that yields one record per epoch."""
    classes = dataset.shape.outputs if dataset.shape.kind is TaskKind.CLASSIFICATION else 0
    first = job.objectives[0]
    return Fit(
        model,
        train=train,
        validation=validation,
        shape=dataset.shape,
        training=candidate.training,
        optimizer=candidate.optimizer,
        schedule=candidate.schedule,
        plan=plan,
        epochs=job.spec.budget.epochs,
        seed=seed,
        trial=trial,
        objective=(first.metric, first.maximize),
        class_counts=np.bincount(dataset.train.targets, minlength=classes).tolist() if classes else None,
        target_scaling=target_scaling(dataset),
        stop=stop,
        micro_batch=plan.micro_batch,
    )


def target_scaling(dataset: TrainingData) -> tuple[float, float]:
    """Return mean and scale of the training targets; (0, 1) for classes."""
    if dataset.shape.kind is not TaskKind.REGRESSION:
        return 0.0, 1.0
    target = dataset.preprocessing["target"]
    return float(target["mean"]), float(target["scale"])
