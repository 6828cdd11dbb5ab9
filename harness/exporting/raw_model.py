"""A model of a run with its preprocessing inside: from raw tensors to what it is used for, in torch alone.

Shape legend: N samples, C classes, V values, L quantiles of each, or one value.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.exporting.forms import form_of
from harness.problems import Problem, problems
from harness.spec.training import Training
from harness.study import Predictor
from harness.train.loss import make_criterion


class RawModel(nn.Module):
    """Answers of raw samples: of classes the predicted codes and all probabilities, or float64 values ``N x VL``.

    Values are in the order of the target's, the quantiles of each side by side in the order of their levels.
    """

    centre: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.prepared = form_of(predictor.preprocessing).prepared(predictor.preprocessing)
        self.model = predictor.model
        self.threshold = predictor.threshold
        self.classes = bool(predictor.class_names)
        options = Training.model_validate({"loss": predictor.saved.candidate.training.loss})
        self._criterion = make_criterion(predictor.shape, options, class_counts=None, device=torch.device("cpu"))
        target, kind = predictor.shape.target, predictor.shape.kind
        # What follows the values of a forecast is the unit of its errors, which nothing predicts.
        centre = target.centre[: len(target.centre) - problems[kind].continues] if target else ()
        if says_own_units(kind):
            centre = (0.0,) * len(centre)
        self._log = bool(target and target.log)
        self._levels = max(1, len(predictor.shape.quantiles))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float64).unsqueeze(1))
        self.requires_grad_(False)  # so that whoever calls the exported program needs no torch.no_grad

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it returns."""
        return ("code", "probabilities") if self.classes else ("value",)

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Return ``code`` int64 ``N`` and ``probabilities`` float32 ``N x C``, or ``value`` float64 ``N x VL``."""
        answers = self._criterion.answers(self._criterion.scores(self.model(*self.prepared(*raw))))
        if self.classes:
            return decide(answers, self.threshold), answers
        values_NVL = answers.reshape(raw[0].shape[0], len(self.centre), self._levels).double() + self.centre
        return ((values_NVL.exp() if self._log else values_NVL).flatten(1),)


def says_own_units(kind: str) -> bool:
    """Tell whether a problem's answers are in the units of the targets as they are, such as probabilities."""
    return type(problems[kind]).own_units is Problem.own_units


def decide(probabilities_NC: Tensor, threshold: float | None) -> Tensor:
    """Return what :func:`harness.problems.deciding.decide` does, int64 codes, in operations that can be traced.

    >>> decide(torch.tensor([[0.7, 0.3], [0.2, 0.8]]), 0.25).tolist()
    [1, 1]
    """
    if threshold is None:
        return probabilities_NC.argmax(dim=1)
    return (probabilities_NC[:, 1].double() >= threshold).long()
