"""What ``best/`` and every other model folder of a run holds, read back; nothing of it is unpickled."""

from __future__ import annotations

import dataclasses
import math
import warnings
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from harness import models
from harness.data import check_preprocessing
from harness.errors import InputError, StorageError, did_you_mean, first_line
from harness.measure.threshold import Threshold
from harness.models import Curve, Ensemble, own_sha256
from harness.records import NAN, Plan, TaskShape, image_inputs, table_inputs
from harness.spec import Candidate
from harness.store.files import first_fault, read_file, read_object
from harness.store.run import check_schema
from harness.train import outputs_for

BEST = "best"
"""The folder of the winner's final model."""
ENSEMBLE = "ensemble"
"""The folder of the average of the best trials."""
FULL = "full"
"""The folder of the winner trained on all samples, those of the test part too."""
VALIDATION = f"{BEST}/validation.parquet"
"""What was said of the validation samples before the test samples were opened, of two classes."""

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


class Length(BaseModel):
    """Epochs that a schedule runs along, and those that are trained."""

    model_config = ConfigDict(frozen=True)

    schedule: Annotated[int, Field(ge=1)]
    until: Annotated[int, Field(ge=1)]


class Member(BaseModel):
    """One of the trials that a model averages; its weights are those whose names begin with ``weights``."""

    model_config = ConfigDict(frozen=True)

    trial: Annotated[int, Field(ge=0)]
    candidate: Annotated[Candidate, BeforeValidator(Candidate.from_dict)]
    count: Annotated[int, Field(ge=1, le=1000)]
    """How often it counts."""
    weights: str
    recipe: Length | None = None
    """How long it was trained; None: made by a version that did not write it down."""
    own_sha256: str | None = None


class Saved(BaseModel):
    """What the ``candidate.json`` of a model folder says of the model."""

    model_config = ConfigDict(frozen=True)

    task: str
    candidate: Annotated[Candidate, BeforeValidator(Candidate.from_dict)]
    shape: Annotated[TaskShape, BeforeValidator(_of_earlier)]
    class_names: tuple[str, ...]
    plan: Annotated[Plan, BeforeValidator(_with_nan)] = _UNKNOWN
    ensemble: Annotated[int, Field(ge=1, le=64)] = 1
    """How many refits of the candidate are averaged."""
    members: tuple[Member, ...] = ()
    """What is averaged where these are different candidates; ``candidate`` is then the first of them."""
    temperature: Annotated[float, Field(gt=0, lt=math.inf)] = 1.0
    isotonic: tuple[Curve, ...] = ()
    threshold: Threshold | None = None
    trial: Annotated[int, Field(ge=0)] = 0
    recipe: Length | None = None
    """How long it was trained; None: made by a version that did not write it down."""
    own_sha256: str | None = None
    """Of the file of the user's own module."""

    @model_validator(mode="after")
    def _fits_its_classes(self) -> Saved:
        classes = len(self.class_names)
        if self.isotonic and len(self.isotonic) != (1 if classes == 2 else classes):
            raise ValueError(f"isotonic: {len(self.isotonic)} curves, for {classes} classes")
        for curve in self.isotonic:
            if not curve.x or len(curve.x) != len(curve.y) or list(curve.x) != sorted(curve.x):
                raise ValueError("isotonic: a curve is no line through points")
            if not all(0.0 < value < 1.0 for value in curve.y):
                raise ValueError("isotonic: a curve leaves the numbers between 0 and 1")
        if self.threshold and (classes != 2 or not 0.0 < self.threshold.value <= 1.0):
            raise ValueError("threshold: no probability of the second of two classes")
        return self


def models_of(run: Path) -> list[str]:
    """Return the folders of a run that hold a model, sorted."""
    return sorted(path.parent.name for path in run.glob("*/candidate.json"))


def model_folder(run: Path, name: str) -> Path:
    """Return the folder of a run's model. Raises :class:`InputError` where it has none of that name."""
    if not run.is_dir():
        raise InputError(f"{run}: no such run folder; `harness runs` lists those that there are")
    check_schema(run)
    known = models_of(run)
    if name in known or (name == BEST and (run / BEST).is_dir()):  # which may be damaged
        return run / name
    if not known:
        raise InputError(f"{run}: holds no final model (no folder best/); a search writes it once a trial is complete")
    raise InputError(f"{run}: has no model {name!r}{did_you_mean(name, known)}")


def read_saved(path: Path) -> Saved:
    """Return what a model folder's ``candidate.json`` says. Raises :class:`StorageError` where it is damaged."""
    try:
        return Saved.model_validate(read_object(path))
    except (ValidationError, LookupError, AttributeError, TypeError, StopIteration) as error:
        raise StorageError(f"{path}: is not what a search writes ({_first(error)}); the file is damaged") from None


def read_preprocessing(path: Path) -> dict[str, Any]:
    """Return what was fitted on the training samples. Raises :class:`StorageError` where it is damaged."""
    value = read_object(path)
    try:
        check_preprocessing(value)
    except ValidationError as error:
        raise StorageError(f"{path}: is not what a search writes ({_first(error)}); the file is damaged") from None
    return value


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    return first_fault(error)


def build_saved(saved: Saved, weights: Path, *, trust: bool) -> nn.Module:
    """Return the model with its weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        model = _averaged(saved, trust) if saved.members else _single(saved, trust)
    try:
        model.load_state_dict(load(read_file(weights, limit=None)))
    except (RuntimeError, SafetensorError) as error:
        raise StorageError(f"{weights}: cannot be loaded: {first_line(error)}") from None
    return models.calibrated(model, saved.temperature, saved.isotonic).eval()


def _single(saved: Saved, trust: bool) -> nn.Module:
    """Return a model of the candidate, or the average of several."""
    members = [_built(saved.candidate, saved, saved.own_sha256, trust) for _ in range(saved.ensemble)]
    return Ensemble(members, _shape_for(saved.candidate, saved)) if saved.ensemble > 1 else members[0]


def _averaged(saved: Saved, trust: bool) -> nn.Module:
    """Return the average of members that may be of different architectures."""
    members = [_built(member.candidate, saved, member.own_sha256, trust) for member in saved.members]
    return Ensemble(members, saved.shape, [member.count for member in saved.members])


def _built(candidate: Candidate, saved: Saved, own: str | None, trust: bool) -> nn.Module:
    """Return a candidate's model, whatever its weights."""
    architecture = candidate.architecture
    preprocessing = candidate.training.preprocessing
    model = models.build(architecture, _shape_for(candidate, saved), preprocessing=preprocessing, trust=trust)
    if own_sha256(architecture) != own:
        told = f"{architecture.params['family']}: has changed since the run, whose model it builds"
        warnings.warn(told, stacklevel=6)
    return model


def _shape_for(candidate: Candidate, saved: Saved) -> TaskShape:
    return dataclasses.replace(saved.shape, outputs=outputs_for(saved.shape, candidate.training.loss))
