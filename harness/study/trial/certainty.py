"""How sure the value of a trial is: what tells candidates that differ from those that chance alone sets apart."""

from __future__ import annotations

from torch import nn

from harness.data import Batches, derive_seed
from harness.measure import standard_error
from harness.records import Figures, Plan
from harness.spec import Training
from harness.study.job import Job
from harness.train import predict
from harness.train.loss import loss_name


def measure_certainty(
    job: Job, training: Training, model: nn.Module, validation: Batches, plan: Plan, seed: int
) -> Figures:
    """Return the standard error of the first objective on the validation samples, as ``value_se``.

    ``seed`` is the trial's.
    """
    shape = job.dataset.shape
    outputs, targets = predict(model, validation, shape=shape, plan=plan, loss=training.loss)
    return standard_error(
        job.objectives[0].metric,
        outputs,
        targets,
        seed=derive_seed(seed, "standard error"),
        loss=loss_name(shape, training.loss),
        scale=shape.scale,
    )
