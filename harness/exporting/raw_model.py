"""A model of a run with its preprocessing inside: from raw tensors to what it is used for, in torch alone.

It does what :mod:`harness.data.preprocessing` does, in operations that ``torch.export`` and ONNX have; each export is
checked against that. Shape legend: N samples, F numbers, D dates, K categories, C classes, V values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.part import Normalise, standardise
from harness.exporting.calendar import calendar
from harness.exporting.raw_inputs import MISSING_DATE, grouped, raw_inputs
from harness.spec.training import Training
from harness.study import Predictor
from harness.train.loss import make_criterion


class PreparedTable(nn.Module):
    """Takes numbers ``N x F`` as float64, dates ``N x D`` as int64 and codes ``N x K``, as far as there are any."""

    first: Tensor
    order: Tensor
    median: Tensor
    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        super().__init__()
        groups, numeric = grouped(raw_inputs(preprocessing)), preprocessing["numeric"]
        self.kinds = tuple(groups)
        firsts = [_microseconds(fitted["first"]) for fitted in preprocessing.get("dates", ())]
        self.register_buffer("first", torch.tensor(firsts, dtype=torch.int64))
        columns = [each.column for each in groups.get("numbers", ())]
        for each in groups.get("dates", ()):
            columns += [f"{each.column}: {name}" for name in calendar(self.first, self.first)]
        places = [columns.index(fitted["column"]) for fitted in numeric]
        self.register_buffer("order", torch.tensor(places, dtype=torch.int64))
        for name, usual in (("median", 0.0), ("mean", 0.0), ("scale", 1.0), ("low", -np.inf), ("high", np.inf)):
            values = [fitted.get(name, usual) for fitted in numeric]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Return what the network is called with: float32 numbers and, where there are categories, their codes."""
        given = dict(zip(self.kinds, raw, strict=True))
        codes = (given["categories"],) if "categories" in given else ()
        if not len(self.order):
            return raw[0].new_zeros((raw[0].shape[0], 0), dtype=torch.float32), *codes
        columns = [given["numbers"]] if "numbers" in given else []
        columns += [self._calendars(given["dates"])] if "dates" in given else []
        values_NF = torch.cat(columns, dim=1)[:, self.order]
        values_NF = torch.where(values_NF.isnan(), self.median, values_NF)
        x_NF = ((values_NF - self.mean) / self.scale).clamp(self.low, self.high)
        return x_NF.float(), *codes

    def _calendars(self, dates_ND: Tensor) -> Tensor:
        missing_ND = dates_ND == MISSING_DATE
        known_ND = torch.where(missing_ND, 0, dates_ND)
        numbers = calendar(known_ND, self.first).values()
        return torch.stack([torch.where(missing_ND, torch.nan, each) for each in numbers], dim=2).flatten(1)


class PreparedImages(nn.Module):
    """Takes images ``N x C x H x W`` in the range of the training data's."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        super().__init__()
        normalise = Normalise(tuple(preprocessing["mean"]), tuple(preprocessing["std"]))
        for name, values in zip(("mean", "std"), normalise.tensors(torch.device("cpu")), strict=True):
            self.register_buffer(name, values)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the standardised images, float32."""
        return (standardise(x_NCHW, self.mean, self.std),)


_PREPARED: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {"image": PreparedImages, "table": PreparedTable}
"""Preprocessing as a module, by the modality of the inputs; :func:`raw_inputs` refuses what has none."""


class RawModel(nn.Module):
    """Answers of raw samples: of classes the predicted codes and all probabilities, or float64 values ``N x V``.

    Of quantiles V is how many there are, in the order of their levels.
    """

    centre: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        preprocessing = predictor.preprocessing
        self.prepared = _PREPARED[preprocessing["inputs"]](preprocessing)
        self.model = predictor.model
        self.threshold = predictor.threshold
        self.classes = bool(predictor.class_names)
        options = Training.model_validate({"loss": predictor.saved.candidate.training.loss})
        self._criterion = make_criterion(predictor.shape, options, class_counts=None, device=torch.device("cpu"))
        target = predictor.shape.target
        centre = target.centre if target else ()
        self._values = len(centre) * max(1, len(target.quantiles) if target else 0)
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float64))
        self.requires_grad_(False)  # so that whoever calls the exported program needs no torch.no_grad

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it returns."""
        return ("code", "probabilities") if self.classes else ("value",)

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Return ``code`` int64 ``N`` and ``probabilities`` float32 ``N x C``, or ``value`` float64 ``N x V``."""
        answers = self._criterion.answers(self._criterion.scores(self.model(*self.prepared(*raw))))
        if self.classes:
            return decide(answers, self.threshold), answers
        return (answers.reshape(raw[0].shape[0], self._values).double() + self.centre,)


def decide(probabilities_NC: Tensor, threshold: float | None) -> Tensor:
    """Return what :func:`harness.problems.deciding.decide` does, int64 codes, in operations that can be traced.

    >>> decide(torch.tensor([[0.7, 0.3], [0.2, 0.8]]), 0.25).tolist()
    [1, 1]
    """
    if threshold is None:
        return probabilities_NC.argmax(dim=1)
    return (probabilities_NC[:, 1].double() >= threshold).long()


def _microseconds(moment: str) -> int:
    return int(np.datetime64(datetime.fromisoformat(moment), "us").astype(np.int64))
