"""From a candidate to what trains it; the search and the final refit build alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from harness import models
from harness.data import Batch, Batches, Part, TrainingData, derive_seed, place
from harness.hardware import usable_cores
from harness.plan import Loss, make_plan, sizes_for
from harness.problems import problems
from harness.records import Figures, Plan
from harness.spec import Candidate, Training
from harness.study.job import Job
from harness.train import Fit, Recipe, Staged, Supervised, Targets, anneals
from harness.train.loss import loss_name, make_criterion
from harness.train.randomness import chance

REFIT_MARGIN = 1.2
SHORTER = 0.8
"""Of the time that is left, what a training takes that is shortened to it: cut off it would have been in vain."""
EVALUATION_BATCH = 512
"""Batch size where nothing is learned: large enough to keep a device busy."""


def training_seed(job: Job, seed: int, fold: int) -> int:
    """Return the seed of one of a trial's trainings: the trial's own where it has only one."""
    return derive_seed(seed, "fold", fold) if job.trainings > 1 else seed


def build_model(job: Job, candidate: Candidate, dataset: TrainingData, seed: int) -> nn.Module:
    """Return the candidate's model with weights drawn from ``seed``."""
    with chance(job.device, seed):
        return drawn_model(job, candidate, dataset)


def drawn_model(job: Job, candidate: Candidate, dataset: TrainingData) -> nn.Module:
    """Return the candidate's model with weights as torch's generators are now."""
    training, shape = candidate.training, job.model_shape(candidate, dataset)
    return models.build(candidate.architecture, shape, preprocessing=training.preprocessing, trust=job.trust)


def stages_of(candidate: Candidate) -> int:
    """Return in how many stages the candidate's model is fitted at most; 0 where it is trained by gradients."""
    fitting = models.fitting_of(candidate.architecture)
    return fitting.stages if fitting is not None else 0


def with_batch_size(candidate: Candidate, size: int) -> Candidate:
    """Return the candidate with its batch size settled."""
    return replace(candidate, training=candidate.training.model_copy(update={"batch_size": size}))


def largest_batch(candidate: Candidate, samples: int) -> int:
    """Return the batch size of the candidate for so many training samples; the largest it may get if it is open.

    A model that is fitted takes all of them at once.
    """
    size = samples if stages_of(candidate) else candidate.training.batch_size
    return max(sizes_for(samples)) if size == "auto" else size


def smallest_batch(candidate: Candidate, samples: int) -> int:
    """Return the batch size of the candidate for so many training samples; the smallest it may get if it is open."""
    size = samples if stages_of(candidate) else candidate.training.batch_size
    return min(samples, min(sizes_for(samples)) if size == "auto" else size)


def epochs_of(job: Job, candidate: Candidate, plan: Plan | None = None) -> int:
    """Return how many epochs the candidate is trained at most, which is what its schedule runs along; or its stages."""
    if stages := stages_of(candidate):
        return min(stages, job.spec.budget.epochs)
    asked = min(candidate.training.epochs or job.spec.budget.epochs, job.spec.budget.epochs)
    return min(asked, plan.most_epochs) if plan is not None and plan.most_epochs else asked


def steps_of(job: Job, candidate: Candidate, batch_size: int) -> int:
    """Return how many steps a trial of the candidate takes at most, in batches of that size."""
    return epochs_of(job, candidate) * math.ceil(len(job.dataset.train) / batch_size)


def fewest_epochs(job: Job, candidate: Candidate) -> int:
    """Return how many epochs the candidate is trained at least, unless it is given up."""
    patience = 0 if anneals(candidate.schedule) or stages_of(candidate) else candidate.training.patience
    return min(epochs_of(job, candidate), patience + 1) if patience else epochs_of(job, candidate)


def shorter(job: Job, candidate: Candidate, plan: Plan, epoch_s: float, left_s: float) -> Plan | None:
    """Return the plan with as many epochs as fit into what is left; None where none do beyond a warm-up of the rate."""
    most = int(SHORTER * left_s / (epoch_s * job.trainings)) if 0.0 < epoch_s < math.inf and left_s > 0.0 else 0
    least = int(candidate.schedule.params.get("warmup_epochs", 0)) + 1
    return replace(plan, most_epochs=most) if least <= most < epochs_of(job, candidate) else None


def refit_growth(job: Job) -> float:
    """Return how many times the seconds of a trial's training its refit on more samples takes, with a margin."""
    return REFIT_MARGIN * (1 + len(job.dataset.validation) / len(job.dataset.train))


def static_figures(job: Job, model: nn.Module) -> Figures:
    """Return parameters and FLOPs of one sample's forward pass: what is known before anything runs."""
    parameters = Figures({"parameters": float(models.count_parameters(model))})
    return parameters | models.count_flops(model, one_sample(job.dataset, torch.device("cpu")).inputs)


def one_sample(dataset: TrainingData, device: torch.device) -> Batch:
    """Return the first training sample as a batch on ``device``, to see shapes and types by."""
    part = dataset.train.first(1)
    return Batch(part.tensors(device), torch.from_numpy(part.targets).to(device))


def place_training(job: Job, candidate: Candidate, dataset: TrainingData, seed: int) -> Batches:
    """Return the shuffled, augmented training batches; all samples as they are, where a model is fitted to them."""
    trained = not stages_of(candidate)
    return place(
        dataset.train,
        device=job.device,
        batch_size=largest_batch(candidate, len(dataset.train)),
        seed=seed,
        shuffle=trained,
        augment=candidate.training.augment if trained else None,
        balanced=trained and candidate.training.sampling == "balanced",
    )


def evaluation_batch(micro_batch: int) -> int:
    """Return how many samples go through a model at once where nothing is learned: as many as may in training."""
    return min(EVALUATION_BATCH, micro_batch or EVALUATION_BATCH)


def place_evaluation(part: Part, device: torch.device, micro_batch: int = 0) -> Batches:
    """Return the samples of a part in their order, to be measured; 0: any number may go through the model at once."""
    return place(part, device=device, batch_size=evaluation_batch(micro_batch), seed=0, shuffle=False)


def plan_training(
    job: Job,
    candidate: Candidate,
    dataset: TrainingData,
    train: Batches,
    *,
    micro_batch: int = 0,
    by_rule: bool = False,
) -> Plan:
    """Return how the candidate is trained on this device; ``by_rule`` without measuring anything."""
    fitted = bool(stages_of(candidate))
    return make_plan(
        lambda: drawn_model(job, candidate, dataset),
        train,
        device=job.device,
        memory=None if by_rule or fitted else job.choosing,  # there is no step to measure
        loss=plain_loss(candidate, dataset, job.device),
        configuration=models.configuration(candidate.architecture),
        precision="fp32" if fitted else candidate.training.precision,
        # Not the split, and of the steps those of the trial: a refit trains in the precision of its trial.
        data=(dataset.fingerprint, candidate.training.augment.model_dump_json()),
        micro_batch=micro_batch,
        steps=steps_of(job, candidate, train.batch_size),
    )


def plain_loss(candidate: Candidate, dataset: TrainingData, device: torch.device) -> Loss:
    """Return the candidate's loss without smoothing, class weights and mixing, by which no plan is better or worse."""
    training = Training(loss=candidate.training.loss)
    criterion = make_criterion(dataset.shape, training, class_counts=None, device=device)
    return Loss(
        loss_name(dataset.shape, training.loss),
        lambda outputs, targets: criterion.loss(criterion.scores(outputs), targets),
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
    epochs: int | None = None,
) -> Fit:
    """Return the training that yields one record per epoch, for the candidate's own number unless told otherwise."""
    first, epochs = job.objectives[0], epochs or epochs_of(job, candidate, plan)
    counts = problems[dataset.shape.kind].class_counts(dataset.train.targets, dataset.shape)
    targets = Targets(dataset.shape, counts, validation_scorer(job, dataset))
    recipe: Recipe = (
        Staged(model, candidate, targets, plan, stages=epochs, seed=seed, check=stop)
        if stages_of(candidate)
        else Supervised(model, candidate, targets, plan)
    )
    return Fit(
        recipe,
        train,
        validation,
        objective=(first.metric, first.maximize),
        epochs=epochs,
        seed=seed,
        trial=trial,
        stop=stop,
    )


def validation_scorer(job: Job, dataset: TrainingData) -> Callable[[np.ndarray], Figures] | None:
    """Return what measures answers to the validation samples, of what is asked for beyond sums; None: nothing is.

    It raises :class:`MetricFailed` where a metric of the user's own does.
    """
    if not job.scorer:
        return None
    problem = problems[dataset.shape.kind]
    return lambda answers: job.scorer.measure_all(dataset.validation.truth, problem.own_units(answers, dataset.shape))
