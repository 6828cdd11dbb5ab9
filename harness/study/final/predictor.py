"""The final model of a run for raw samples, from its folder ``best/`` alone; nothing of it is unpickled."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from harness.data import Part, Unusual, prepare, unknown_columns
from harness.errors import InputError
from harness.hardware import choose_device
from harness.problems import problems
from harness.problems.deciding import decide
from harness.problems.flags import SAID
from harness.records import Target, TaskShape
from harness.store.files import read_parquet
from harness.study.final.inference import Inference
from harness.study.final.residuals import Ends, read_residuals
from harness.study.final.saved import BEST, Saved, build_saved, model_folder, read_preprocessing, read_saved
from harness.study.trial.building import evaluation_batch, followed_here


class Predictor:
    """The final model of a run, as :func:`harness.load` returns it.

    >>> import harness
    >>> model = harness.load(run)
    >>> model.class_names
    ('class_0', 'class_1', 'class_2')
    >>> set(model.predict(frame)) <= set(model.class_names)
    True
    """

    def __init__(self, run: Path, *, model: str = BEST, device: str = "auto", trust: bool = False) -> None:
        folder = self._folder = model_folder(run, model)
        self.run = run
        self._saved = read_saved(folder / "candidate.json")
        self.preprocessing: Mapping[str, Any] = read_preprocessing(folder / "preprocessing.json")
        """What was fitted on the training samples, as plain data."""
        self.class_names = self._saved.class_names
        """In the order of the columns of probabilities; empty where values are predicted."""
        plan, chosen = self._saved.plan, choose_device(device)
        if torch.device(plan.device).type != chosen.type:  # whose precisions are its own
            plan = dataclasses.replace(plan, precision="fp32")
        self.model: nn.Module = build_saved(self._saved, folder / "model.safetensors", trust=trust)
        """What predicts, on the device once it was used: logits of classes, or values in units of their deviation."""
        self.threshold: float | None = self._saved.threshold.value if self._saved.threshold else None
        """The probability of the second of two classes from which on it is predicted; None: the most probable is."""
        centre, scale = (
            tuple(np.ravel(self.preprocessing["target"].get(name, ())).tolist()) for name in ("mean", "scale")
        )
        target = dataclasses.replace(self._saved.shape.target or Target(), centre=centre, scale=scale)
        self._target, self._shape = target, dataclasses.replace(self._saved.shape, target=target)
        self.value_names = () if self.class_names else target.names
        """Of several values, in their order; empty for a single one, and for classes."""
        self._inference = Inference(
            self.model,
            self._shape,
            followed_here(plan, chosen),
            self._saved.candidate.training.loss,
        )

    @property
    def saved(self) -> Saved:
        """What the model's folder says of it."""
        return self._saved

    @property
    def shape(self) -> TaskShape:
        """What a model must know of the task, with the units of the values that are predicted."""
        return self._shape

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial of the run that the model comes from."""
        return read_parquet(self.run / "trials.parquet")

    def predict(self, raw: Any) -> np.ndarray:
        """Return (N,): names of classes, or float64 values in the target's units.

        The class is the most probable one, or of two with a ``threshold`` the second from that probability on.

        ``raw`` is a DataFrame whose columns are matched by name, an array, or a list of image files. A column that is
        missing is an error, one that training did not learn from is ignored with a warning; a category that training
        did not see counts as unknown. Of several values they are (N, V), of quantiles (N, Q) in the order of their
        levels. Raises :class:`~harness.errors.DataError`.
        """
        return self.decide(self._answers(raw))

    def predict_proba(self, raw: Any) -> np.ndarray:
        """Return float64 (N, classes) probabilities, ordered as ``class_names``; ``raw`` as for :meth:`predict`.

        Raises :class:`~harness.errors.InputError` where the model predicts values, and what :meth:`predict` raises.
        """
        self.check_asked(proba=True)
        probabilities: np.ndarray = self._answers(raw).astype(np.float64)
        return probabilities

    def predict_interval(self, raw: Any, coverage: float = 0.9) -> np.ndarray:
        """Return float64 (N, 2): the ends of intervals that hold that share of such values; ``raw`` as before.

        They are as long for every row, by split conformal prediction from the model's errors on validation. Of several
        values they are (N, V, 2), each with that coverage of its own. Of quantiles they lie between two, which are
        shifted by as much for every row. Raises :class:`~harness.errors.InputError` where
        the model predicts classes or keeps too few errors, and what :meth:`predict` raises.
        """
        ends = self.ends(coverage)
        return ends(self._answers(raw))

    def ends(self, coverage: float) -> Ends:
        """Return what makes intervals of answers. Raises :class:`~harness.errors.InputError`."""
        self.check_asked(coverage=coverage)
        return read_residuals(self._folder, math.prod(self._target.shape), self._target.quantiles).ends(coverage)

    def check_asked(self, *, proba: bool = False, coverage: float | None = None) -> None:
        """Raise :class:`~harness.errors.InputError` for probabilities of values, or intervals of classes."""
        problem = problems[self._shape.kind]
        if proba and not self.class_names and not problem.flags:
            raise InputError(f"{self.run}: predicts values, of which there are no probabilities; use predict")
        if coverage is None or problem.intervals:
            return
        if problem.continues:
            raise InputError(f"{self.run}: forecasts have no intervals of one length; name `quantiles` in the task")
        what = "labels" if problem.flags else "classes"
        raise InputError(f"{self.run}: predicts {what}, of which there are no intervals; use probabilities")

    def answers(self, raw: Any, unusual: Unusual | None = None) -> np.ndarray:
        """Return float32 probabilities, or float64 values; what is unlike training is counted in ``unusual``.

        Columns that training did not learn from are ignored without a word.
        """
        part = prepare(self.preprocessing, raw, unusual=unusual)
        if not len(part):
            levels = (len(self._target.quantiles),) if self._target.quantiles else ()
            several = (len(self.class_names),) if self.class_names else (*self._target.shape, *levels)
            return np.empty((0, *several), np.float32)
        return self.answers_of(part)

    def answers_of(self, part: Part) -> np.ndarray:
        """Return the same of samples that are prepared already."""
        return problems[self._shape.kind].own_units(self._inference.outputs(part), self._shape)

    def decide(self, answers: np.ndarray) -> np.ndarray:
        """Return names of classes, of two by the ``threshold`` where there is one, 0 or 1 of labels, or the values."""
        if problems[self._shape.kind].flags:
            return (answers >= SAID).astype(np.int64)
        if not self.class_names:
            return answers
        names: np.ndarray = np.array(self.class_names, dtype=object)[decide(answers, self.threshold)]
        return names

    @property
    def batch(self) -> int:
        """How many samples go through the model at once."""
        return evaluation_batch(self._inference.plan.micro_batch)

    def _answers(self, raw: Any) -> np.ndarray:
        answers = self.answers(raw)
        known = not isinstance(raw, pd.DataFrame) or self.preprocessing["inputs"] != "table"
        if extra := [] if known else unknown_columns(self.preprocessing, raw.columns):
            told = f"columns that training did not learn from are ignored: {', '.join(map(repr, extra))}"
            warnings.warn(told, stacklevel=3)
        return answers

    def __repr__(self) -> str:
        what = f"{len(self.class_names)} classes" if self.class_names else "values"
        name = self._saved.candidate.architecture.name
        return f"<{type(self).__name__} of {self._saved.task}: {name}, {what}; {self.run}>"
