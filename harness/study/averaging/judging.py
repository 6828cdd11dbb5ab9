"""What outputs for the validation samples are worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.measure.temperature import fit_temperature, tempered
from harness.problems import LOSS, problem_of, problems
from harness.problems.problem import Undefined
from harness.problems.scoring import Scorer
from harness.records import TaskShape
from harness.study.averaging.selection import Cost, Outputs
from harness.study.final.decision import Losses
from harness.study.job import Job
from harness.train.loss import loss_name


@dataclass(frozen=True, eq=False)
class Judge:
    """Measures probabilities of classes, or values less the mean of those of training, against what is right."""

    shape: TaskShape
    targets: NDArray[Any]
    """As the outputs are."""
    truth: NDArray[Any]
    """In the units of the data."""
    scorer: Scorer
    """With the user's own metrics."""
    at_temperature: float = 1.0
    """What logits of classes are divided by before they are measured."""

    def losses(self, outputs: Outputs) -> Losses:
        """Return the plain loss of each sample: log loss in nats, or squared error in standard units."""
        name = loss_name(self.shape, "auto")
        if self.at_temperature != 1.0:
            outputs = tempered(outputs, self.at_temperature)
        return problem_of(self.shape).losses_of(outputs, self.targets, loss=name, scale=self.shape.scale)

    def cost(self, metric: str, *, maximize: bool, rows: NDArray[np.int64] | None = None) -> Cost:
        """Return what is to be made small: a metric, less it where more is better, of all samples or of some rows."""
        judge, problem = self if rows is None else self._of(rows), problems[self.shape.kind]
        if metric == LOSS:
            return lambda outputs: float(judge.losses(outputs).mean())

        def cost(outputs: Outputs) -> float:
            try:
                value = judge.scorer.score(metric, judge.truth, problem.own_units(outputs, judge.shape))
            except Undefined as error:
                raise InputError(f"--metric {metric}: has no value on the validation samples: {error}") from None
            return -value if maximize else value

        return cost

    def temperature(self, outputs: Outputs, calibration: str) -> float:
        """Return the temperature that these samples ask for; 1 for values, or where none is wanted.

        It stands for isotonic curves too, which would be fitted to samples that the average was selected on.
        """
        if calibration == "none" or not problems[self.shape.kind].calibrated:
            return 1.0
        return fit_temperature(outputs, self.targets)

    def _of(self, rows: NDArray[np.int64]) -> Judge:
        return replace(self, targets=self.targets[rows], truth=self.truth[rows])


def judge_of(job: Job, best: Outputs) -> Judge:
    """Return the judge of a job's validation samples; of folds, of those of each, one fold after the other.

    Of classes it measures at the temperature that the ``best`` trial's outputs ask for, since an average gets its own
    later: trials that were trained to be less sure than they might be, as by label smoothing, are neither averaged nor
    left out for that alone.
    """
    parts = [fold.validation for fold in job.folds or (job.dataset,)]
    truth = np.concatenate([part.truth for part in parts])
    target = job.dataset.shape.target
    assert target is not None
    learned = problems[job.dataset.shape.kind].learned(truth, target)
    judge = Judge(job.dataset.shape, learned, truth, job.scorer)
    return replace(judge, at_temperature=judge.temperature(best, job.spec.training.calibration))


def in_one_frame(job: Job, outputs: Outputs) -> Outputs:
    """Return outputs for :func:`judge_of`: values of each fold are less the mean of its own training samples."""
    if not job.folds or job.dataset.class_names:
        return outputs
    beside = len(problems[job.dataset.shape.kind].beside)
    centres = np.array([fold.shape.target.centre for fold in job.folds if fold.shape.target])
    shifts = (centres - centres[-1])[:, : centres.shape[1] - beside]
    lengths = [len(fold.validation) for fold in job.folds]
    quantiles = outputs[0].size // shifts.shape[1]
    framed: Outputs = outputs + shifts.repeat(lengths, axis=0).repeat(quantiles, axis=1).reshape(outputs.shape)
    return framed


def maximized(job: Job, metric: str) -> bool:
    """Tell whether more of a metric is better. Raises :class:`InputError` for one that cannot be selected by."""
    problem = problems[job.dataset.shape.kind]
    directions = {LOSS: False, **{each.name: each.maximize for each in problem.metrics}}
    directions |= {each.metric: each.maximize for each in job.objectives if each.metric in job.scorer}
    if metric not in directions:
        raise InputError(f"--metric {metric}: cannot be selected by; use one of {', '.join(directions)}")
    return directions[metric]
