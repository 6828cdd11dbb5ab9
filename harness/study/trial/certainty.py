"""How sure the value of a trial is: what tells candidates that differ from those that chance alone sets apart."""

from __future__ import annotations

from torch import nn

from harness.data import Batches, derive_seed
from harness.measure import standard_error
from harness.problems import problems
from harness.records import Figures, Plan
from harness.spec import Training
from harness.study.job import Job
from harness.study.trial.building import target_scaling
from harness.train import predict
from harness.train.loss import loss_name


def measure_certainty(
    job: Job, training: Training, model: nn.Module, validation: Batches, plan: Plan, seed: int
) -> Figures:
    """Return the standard error of the first objective on the validation samples, as ``value_se``.

    ``seed`` is the trial's.
    """
    dataset, metric = job.dataset, job.objectives[0].metric
    shape, scaling, seed = dataset.shape, target_scaling(dataset), derive_seed(seed, "standard error")
    problem = problems[shape.kind]
    answers, targets = predict(model, validation, shape=shape, plan=plan, loss=training.loss, target_scaling=scaling)
    if metric in job.scorer:
        answers = problem.own_units(answers, dataset.preprocessing)
        return job.scorer.standard_error(metric, dataset.validation.truth, answers, seed)
    name = loss_name(shape, training.loss)
    return standard_error(problem, metric, answers, targets, seed=seed, loss=name, scale=scaling[1])
