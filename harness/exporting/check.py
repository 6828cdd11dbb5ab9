"""What was exported compared with the run's own model, sample by sample.

Shape legend: N samples, C classes, V values, A answers of a sample (C or V).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from harness.data import prepare
from harness.errors import HarnessError
from harness.exporting.forms import form_of
from harness.problems import problems
from harness.problems.deciding import decide
from harness.records import TaskShape
from harness.study import Predictor
from harness.study.final.inference import Inference
from harness.study.trial.building import followed_here

TOLERANCE = 1e-5
"""Of a probability; of a value, that share of it and of its deviation in training."""
TIE = 1e-6
"""Probabilities that are no further apart tie."""


class Answers(NamedTuple):
    """What a model says of samples."""

    values: np.ndarray
    """float64 ``N x A``: probabilities, or values in the target's units."""
    codes: np.ndarray | None
    """int64 ``N`` codes of the predicted classes; None where values are predicted."""

    def first(self) -> Answers:
        """Return what it says of the first sample."""
        return Answers(self.values[:1], None if self.codes is None else self.codes[:1])


Runner = Callable[[Mapping[str, np.ndarray]], Answers]
"""Runs what was exported on arrays by the names of its inputs."""


@dataclass(frozen=True, slots=True)
class Checked:
    """How far an export is from the run's own model."""

    samples: int
    difference: float
    """The largest, of a probability or of a value in deviations of the target."""
    ties: int
    """Samples whose class differs, as their probabilities tie."""


def reference(predictor: Predictor, raw: Any) -> Answers:
    """Return what the run's model says in fp32 on the processor, whatever it was trained in."""
    cpu = torch.device("cpu")
    plan = replace(followed_here(predictor.saved.plan, cpu), precision="fp32")
    shape, loss = predictor.shape, predictor.saved.candidate.training.loss
    outputs = Inference(predictor.model, shape, plan, loss).outputs(prepare(predictor.preprocessing, raw))
    if predictor.class_names:
        return Answers(outputs.astype(np.float64), decide(outputs, predictor.threshold))
    return Answers(problems[shape.kind].own_units(outputs, shape).reshape(len(outputs), -1), None)


def check(runner: Runner, predictor: Predictor, samples: Sequence[Any]) -> Checked:
    """Compare on all samples, in batches of many and of one.

    Raises :class:`HarnessError` where a probability or a value is further off than TOLERANCE, or a class is another one
    though the probabilities do not tie.
    """
    found, form = [], form_of(predictor.preprocessing)
    for raw in samples:
        known, arrays = reference(predictor, raw), form.arrays(predictor.preprocessing, raw)
        found.append(_compared(known, runner(arrays), predictor))
        first = {name: values[:1] for name, values in arrays.items()}
        _compared(known.first(), runner(first), predictor)
    return Checked(
        sum(each.samples for each in found), max(each.difference for each in found), sum(each.ties for each in found)
    )


def _compared(known: Answers, found: Answers, predictor: Predictor) -> Checked:
    target = predictor.shape.target
    # A logarithm is what was learnt, and has the deviation in training.
    known_NA, found_NA = (np.log(each.values) if target and target.log else each.values for each in (known, found))
    off_NA, allowed_NA = np.abs(found_NA - known_NA), np.array(TOLERANCE)
    if known.codes is None:
        unit_A = _units(predictor.shape)
        off_NA, allowed_NA = off_NA / unit_A, TOLERANCE * (1.0 + np.abs(known_NA) / unit_A)
    largest = float(off_NA.max(initial=0.0))
    if not (off_NA <= allowed_NA).all():
        raise HarnessError(
            f"the exported model differs from the run's by {largest:.2g}, more than {TOLERANCE:g}: nothing was written"
        )
    if known.codes is None or found.codes is None:
        return Checked(len(off_NA), largest, 0)
    differing_N = known.codes != found.codes
    if (_margin(known.values, predictor.threshold)[differing_N] > TIE).any():
        raise HarnessError("the exported model predicts another class than the run's: nothing was written")
    return Checked(len(off_NA), largest, int(differing_N.sum()))


def _units(shape: TaskShape) -> np.ndarray:
    """Return the deviation in training of what each answer is of; 1 where there is none."""
    scale_V = np.array(shape.scale[: len(shape.scale) - problems[shape.kind].continues])
    return np.repeat(np.where(scale_V > 0.0, scale_V, 1.0), max(1, len(shape.quantiles)))


def _margin(probabilities_NC: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return how far each sample is from being predicted otherwise."""
    if threshold is not None:
        margin_N: np.ndarray = np.abs(probabilities_NC[:, 1] - threshold)
        return margin_N
    ranked_NC = np.sort(probabilities_NC, axis=1)
    best_N: np.ndarray = ranked_NC[:, -1] - ranked_NC[:, -2]
    return best_N
