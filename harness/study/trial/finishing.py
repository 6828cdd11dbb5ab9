"""What is measured of a trial whose last training has come to its end."""

from __future__ import annotations

import traceback

import numpy as np
from safetensors.torch import save

from harness.data import Batches
from harness.errors import TrialEnd, described, first_line
from harness.measure import is_out_of_memory
from harness.models import is_fitted
from harness.records import Outcome, Plan
from harness.study.contract import Evaluation
from harness.study.folds import best_epochs
from harness.study.job import Job
from harness.study.keeping import pack_predictions
from harness.study.limits import check, limits_of, measured
from harness.study.trial.building import epochs_of, stages_of, static_figures
from harness.study.trial.certainty import measure_certainty, spread
from harness.study.trial.progress import End, Progress
from harness.study.trial.speed import measure_speed
from harness.train import predict
from harness.train.bookkeeping import Bookkeeping


def finish(job: Job, progress: Progress, fit: Bookkeeping, validation: Batches, plan: Plan) -> End:
    """Keep the weights of the best epoch in ``progress``, with how fast, how good and how certain they are.

    Raises :class:`Infeasible` where what was measured breaks a limit.
    """
    assignment = progress.assignment
    fit.restore_best()
    if is_fitted(fit.model):  # before, it had no size
        progress.figures |= static_figures(job, fit.model)
    progress.figures |= measure_speed(
        fit.model, validation, plan, progress.epochs, job=job, candidate=assignment.candidate
    )
    # In the order of their indices, whatever the layout that they were trained in.
    progress.weights = save({name: tensor.contiguous() for name, tensor in fit.best_state.items()})
    check_measured(job, progress)
    outputs = outputs_of(job, progress, fit, validation, plan)
    progress.outputs.append(outputs)
    progress.figures |= measure_certainty(job, assignment.candidate.training.loss, outputs, assignment.seed)
    if job.trainings > 1:
        progress.figures |= spread(job, progress.epochs, progress.figures.values["value_se"])
    return _completed(job, progress)


def check_measured(job: Job, progress: Progress) -> None:
    """Raise :class:`Infeasible` where what has been measured so far breaks a limit."""
    limits = job.spec.limits
    if limits_of(limits):
        check(limits, measured(progress.known().values, len(progress.epochs)), "measured")


def outputs_of(job: Job, progress: Progress, fit: Bookkeeping, validation: Batches, plan: Plan) -> np.ndarray:
    """Return what the model says of the validation samples."""
    shape, loss = job.dataset.shape, progress.assignment.candidate.training.loss
    return predict(fit.model, validation, shape=shape, plan=plan, loss=loss)[0]


def _completed(job: Job, progress: Progress) -> End:
    epochs = progress.epochs
    asked, done = epochs_of(job, progress.assignment.candidate, progress.plan), len(epochs)
    if job.trainings > 1:
        return End(Outcome.COMPLETE, f"trained for {job.spec.evaluation}, {done} epochs in all")
    if stages_of(progress.assignment.candidate):
        return End(Outcome.COMPLETE, "fitted" if asked == 1 else f"fitted in {done} stages")
    if done < asked:
        (best,) = best_epochs(job.objectives[0], epochs)
        return End(Outcome.COMPLETE, f"no improvement after epoch {best.epoch}: stopped at epoch {done} of {asked}")
    if progress.plan is not None and progress.plan.most_epochs:
        wanted = epochs_of(job, progress.assignment.candidate)
        return End(Outcome.COMPLETE, f"trained for {asked} of {wanted} epochs: there was no time for more")
    return End(Outcome.COMPLETE, f"trained for all {asked} epochs")


def paused(epoch: int) -> End:
    """Return how a stretch ends at a rung of successive halving."""
    return End(Outcome.PRUNED, f"stopped at epoch {epoch}: not among the best there (successive halving)")


def end_of(error: Exception) -> End:
    """Return how an error ends a trial; of a crash the first line of its message is the reason."""
    if isinstance(error, TrialEnd):
        return End(error.outcome, str(error))
    if is_out_of_memory(error):
        return End(Outcome.OOM, f"out of memory: {first_line(error)}")
    return End(Outcome.CRASHED, described(error), traceback.format_exc())


def evaluation_of(job: Job, progress: Progress, end: End) -> Evaluation:
    """Return what the stretch of a trial left."""
    record = progress.record(end, job.objectives)
    weights = progress.weights if record.outcome is Outcome.COMPLETE else b""
    predictions = b""
    # Earlier folds of a trial that went on from a checkpoint are not known.
    if weights and len(progress.outputs) == max(1, len(job.folds)):
        predictions = pack_predictions(record, np.concatenate(progress.outputs))
    telemetry = progress.sampler.drain()
    return Evaluation(record, progress.epochs, weights, progress.checkpoint, telemetry, end.traceback, predictions)
