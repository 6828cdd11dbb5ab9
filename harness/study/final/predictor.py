"""The final model of a run for raw samples, from its folder ``best/`` alone; nothing of it is unpickled."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from harness.data import Part, prepare, unknown_columns
from harness.errors import InputError
from harness.hardware import choose_device
from harness.problems import problems
from harness.problems.deciding import decide
from harness.records import Target, TaskShape
from harness.store.files import read_parquet
from harness.study.final.inference import Inference
from harness.study.final.saved import BEST, Saved, build_saved, model_folder, read_preprocessing, read_saved
from harness.study.trial.building import followed_here


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
        folder = model_folder(run, model)
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
        self._shape = dataclasses.replace(self._saved.shape, target=target)
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
        did not see counts as unknown. Raises :class:`~harness.errors.DataError`.
        """
        outputs = self._outputs(raw)
        if not self.class_names:
            return problems[self._shape.kind].own_units(outputs, self._shape)
        names: np.ndarray = np.array(self.class_names, dtype=object)[decide(outputs, self.threshold)]
        return names

    def predict_proba(self, raw: Any) -> np.ndarray:
        """Return float64 (N, classes) probabilities, ordered as ``class_names``; ``raw`` as for :meth:`predict`.

        Raises :class:`~harness.errors.InputError` where the model predicts values, and what :meth:`predict` raises.
        """
        if not self.class_names:
            raise InputError(f"{self.run}: predicts values, of which there are no probabilities; use predict")
        probabilities: np.ndarray = self._outputs(raw).astype(np.float64)
        return probabilities

    def answers(self, part: Part) -> np.ndarray:
        """Return probabilities of classes, or values in the target's units, of samples that are prepared already."""
        return problems[self._shape.kind].own_units(self._inference.outputs(part), self._shape)

    def _outputs(self, raw: Any) -> np.ndarray:
        part = prepare(self.preprocessing, raw)
        if extra := unknown_columns(self.preprocessing, raw):
            told = f"columns that training did not learn from are ignored: {', '.join(map(repr, extra))}"
            warnings.warn(told, stacklevel=3)
        if not len(part):
            return np.empty((0, len(self.class_names)) if self.class_names else 0, np.float32)
        return self._inference.outputs(part)

    def __repr__(self) -> str:
        what = f"{len(self.class_names)} classes" if self.class_names else "values"
        name = self._saved.candidate.architecture.name
        return f"<{type(self).__name__} of {self._saved.task}: {name}, {what}; {self.run}>"
