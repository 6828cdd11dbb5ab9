"""How sure the value of a trial is: what tells candidates that differ from those that chance alone sets apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev

import numpy as np

from harness.data import derive_seed
from harness.measure import standard_error
from harness.problems import LOSS, problem_of
from harness.records import EpochRecord, Figures
from harness.study.folds import best_epochs
from harness.study.job import Job
from harness.train.loss import loss_name


def measure_certainty(job: Job, loss: str, answers: np.ndarray, seed: int) -> Figures:
    """Return the standard error of the first objective of answers to the validation samples, as ``value_se``.

    ``seed`` is the trial's.
    """
    dataset, metric = job.dataset, job.objectives[0].metric
    shape, seed = dataset.shape, derive_seed(seed, "standard error")
    problem = problem_of(shape)
    if metric in job.scorer:
        answers = problem.own_units(answers, shape)
        return job.scorer.standard_error(metric, dataset.validation.truth, answers, seed)
    name, targets = loss_name(shape, loss), dataset.validation.targets
    if problem.continues and metric != LOSS:  # of logarithms such a metric would be another
        answers, targets = problem.own_units(answers, shape), dataset.validation.truth
    return standard_error(problem, metric, answers, targets, seed=seed, loss=name, scale=shape.scale)


def spread(job: Job, epochs: Sequence[EpochRecord], value_se: float) -> Figures:
    """Return the standard deviation of the first objective over folds or seeds, and the standard error of their mean.

    Folds hold samples of their own, so what differs between them is all of the mean's error. Seeds share the samples,
    whose error in the value of one of them, ``value_se``, is the mean's as well and is added.
    """
    first = job.objectives[0]
    values = [best.validation[first.metric] for best in best_epochs(first, epochs)]
    deviation = stdev(values)
    shared = 0.0 if job.spec.evaluation.folds or math.isnan(value_se) else value_se
    return Figures({"value_sd": deviation, "value_se": math.hypot(deviation / math.sqrt(len(values)), shared)})
