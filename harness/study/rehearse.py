"""Everything but the training, once per architecture, before anything is written: what cannot work is said at once."""

from __future__ import annotations

from harness.data import place
from harness.errors import InputError
from harness.records import Plan
from harness.spec import options_of
from harness.study.decide.points import variants
from harness.study.job import Job
from harness.study.trial.building import build_model, make_fit, plan_training
from harness.train import never

SAMPLES = 64
"""Enough for two batches of a small size; nothing is learned from them."""


def rehearse(job: Job) -> None:
    """Build model, batches, a plan by rule and training for the middle of every architecture and each of its variants.

    Raises what a trial would raise: :class:`InputError` where the loss, the augmentation or the inputs do not fit the
    task or a module of the user's own is wrong, :class:`HardwareError` for a precision that the device cannot do.
    """
    _check_threshold(job)
    few = job.dataset.train.first(SAMPLES)
    architectures = options_of(job.spec)
    for architecture in architectures:
        plans: dict[str, Plan] = {}
        for candidate in variants(job.spec, architecture):
            training = candidate.training
            try:
                model = build_model(job, candidate, job.dataset, seed=0)
            except InputError as error:
                if len(architectures) > 1 and str(error).startswith(f"architecture.{architecture}: "):
                    raise InputError(f"{error}; or leave it out: --set '~space.architecture.{architecture}'") from None
                raise
            train = place(
                few,
                device=job.device,
                batch_size=SAMPLES // 2,
                seed=0,
                shuffle=True,
                augment=training.augment,
                balanced=training.sampling == "balanced",
            )
            if training.precision not in plans:
                plans[training.precision] = plan_training(job, candidate, job.dataset, train, by_rule=True)
            plan = plans[training.precision]
            make_fit(job, candidate, job.dataset, model, train, None, plan, seed=0, trial=0, stop=never)


def _check_threshold(job: Job) -> None:
    """Refuse a threshold where there are not two classes to decide between."""
    classes = len(job.dataset.class_names)
    if job.spec.training.threshold is not None and classes != 2:
        has = f"has {classes} classes" if classes else "predicts values"
        raise InputError(f"training.threshold: is for two classes, and task {job.dataset.name!r} {has}; leave it out")
