"""The final model of a run for raw samples, from its folder ``best/`` alone; nothing of it is unpickled."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from harness import models
from harness.data import check_preprocessing, prepare, unknown_columns
from harness.errors import InputError, StorageError, first_line
from harness.hardware import choose_device
from harness.models import Ensemble, Tempered, own_sha256
from harness.problems import problems
from harness.records import NAN, Plan, Target, TaskShape, image_inputs, table_inputs
from harness.spec import Candidate
from harness.store.files import read_file, read_object, read_parquet
from harness.study.final.inference import Inference
from harness.study.trial.building import followed_here
from harness.train import outputs_for

_UNKNOWN = Plan(
    device="cpu",
    precision="fp32",
    precision_ratio=NAN,
    precision_reason="not recorded",
    batch_size=1,
    layout="contiguous",
    layout_reason="not recorded",
    data_path="resident",
    data_reason="not recorded",
    threads=1,
)
"""The plan of a run whose version did not write it down."""


def _with_nan(plan: object) -> object:
    """Put NaN back where JSON has none for it."""
    return {key: NAN if value is None else value for key, value in plan.items()} if isinstance(plan, dict) else plan


def _of_earlier(shape: object) -> object:
    """Put a shape as an earlier version wrote it into today's form; its units stand with the preprocessing alone."""
    if not isinstance(shape, dict) or "inputs" in shape:
        return shape
    if shape.get("image"):
        inputs = image_inputs(*shape["image"])
    else:
        inputs = table_inputs(shape["features"], tuple(shape["cardinalities"]), shape.get("quantiles", ()))
    return {"kind": shape["kind"], "outputs": shape["outputs"], "inputs": inputs}


class Saved(BaseModel):
    """What ``best/candidate.json`` says of a final model."""

    model_config = ConfigDict(frozen=True)

    task: str
    candidate: Annotated[Candidate, BeforeValidator(Candidate.from_dict)]
    shape: Annotated[TaskShape, BeforeValidator(_of_earlier)]
    class_names: tuple[str, ...]
    plan: Annotated[Plan, BeforeValidator(_with_nan)] = _UNKNOWN
    ensemble: Annotated[int, Field(ge=1, le=64)] = 1
    temperature: Annotated[float, Field(gt=0, lt=math.inf)] = 1.0
    own_sha256: str | None = None
    """Of the file of the user's own module."""


class Predictor:
    """The final model of a run, as :func:`harness.load` returns it.

    >>> import harness
    >>> model = harness.load(run)
    >>> model.class_names
    ('class_0', 'class_1', 'class_2')
    >>> set(model.predict(frame)) <= set(model.class_names)
    True
    """

    def __init__(self, run: Path, *, device: str = "auto", trust: bool = False) -> None:
        best = run / "best"
        if not best.is_dir():
            raise InputError(
                f"{run}: holds no final model (no folder best/); a search writes it once a trial is complete"
            )
        self.run = run
        self._saved = _read(best / "candidate.json")
        self.preprocessing: Mapping[str, Any] = _checked(best / "preprocessing.json")
        """What was fitted on the training samples, as plain data."""
        self.class_names = self._saved.class_names
        """In the order of the columns of probabilities; empty where values are predicted."""
        plan, chosen = self._saved.plan, choose_device(device)
        if torch.device(plan.device).type != chosen.type:  # whose precisions are its own
            plan = dataclasses.replace(plan, precision="fp32")
        self.model: nn.Module = _build(self._saved, best / "model.safetensors", trust=trust)
        """What predicts, on the device once it was used: logits of classes, or values in units of their deviation."""
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
    def trials(self) -> pd.DataFrame:
        """One row per trial of the run that the model comes from."""
        return read_parquet(self.run / "trials.parquet")

    def predict(self, raw: Any) -> np.ndarray:
        """Return (N,): the names of the most probable classes, or float64 values in the target's units.

        ``raw`` is a DataFrame whose columns are matched by name, an array, or a list of image files. A column that is
        missing is an error, one that training did not learn from is ignored with a warning; a category that training
        did not see counts as unknown. Raises :class:`~harness.errors.DataError`.
        """
        outputs = self._outputs(raw)
        if not self.class_names:
            return problems[self._shape.kind].own_units(outputs, self._shape)
        names: np.ndarray = np.array(self.class_names, dtype=object)[outputs.argmax(axis=1)]
        return names

    def predict_proba(self, raw: Any) -> np.ndarray:
        """Return float64 (N, classes) probabilities, ordered as ``class_names``; ``raw`` as for :meth:`predict`.

        Raises :class:`~harness.errors.InputError` where the model predicts values, and what :meth:`predict` raises.
        """
        if not self.class_names:
            raise InputError(f"{self.run}: predicts values, of which there are no probabilities; use predict")
        probabilities: np.ndarray = self._outputs(raw).astype(np.float64)
        return probabilities

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


def _read(path: Path) -> Saved:
    try:
        return Saved.model_validate(read_object(path))
    except (ValidationError, LookupError, AttributeError, TypeError, StopIteration) as error:
        raise StorageError(f"{path}: is not what a search writes ({_first(error)}); the file is damaged") from None


def _checked(path: Path) -> dict[str, Any]:
    value = read_object(path)
    try:
        check_preprocessing(value)
    except ValidationError as error:
        raise StorageError(f"{path}: is not what a search writes ({_first(error)}); the file is damaged") from None
    return value


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _build(saved: Saved, weights: Path, *, trust: bool) -> nn.Module:
    """Return the model with its weights, in evaluation mode."""
    architecture = saved.candidate.architecture
    shape = dataclasses.replace(saved.shape, outputs=outputs_for(saved.shape, saved.candidate.training.loss))
    with torch.random.fork_rng(devices=[]):
        members = [models.build(architecture, shape, trust=trust) for _ in range(saved.ensemble)]
    if own_sha256(architecture) != saved.own_sha256:
        warnings.warn(
            f"{architecture.params['family']}: has changed since the run, whose model it builds", stacklevel=4
        )
    model = Ensemble(members, shape) if saved.ensemble > 1 else members[0]
    try:
        model.load_state_dict(load(read_file(weights, limit=None)))
    except (RuntimeError, SafetensorError) as error:
        raise StorageError(f"{weights}: cannot be loaded: {first_line(error)}") from None
    return (model if saved.temperature == 1.0 else Tempered(model, saved.temperature)).eval()
