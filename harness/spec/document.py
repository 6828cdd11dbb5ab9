"""The space file as a whole: task, objective, limits, budget, search, training and space."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SerializeAsAny, ValidationInfo, model_validator

from harness.errors import InputError, did_you_mean
from harness.own import check_path
from harness.problems import known_metrics
from harness.registry import registered
from harness.spec.base import Frozen, OneOf
from harness.spec.first import point_of
from harness.spec.names import PRUNERS, SAMPLERS
from harness.spec.parameters import Group, Scalar, size
from harness.spec.task import TaskSpec, parse_task
from harness.spec.training import Blended, Training

Direction = Literal["maximize", "minimize"]

COST: Mapping[str, tuple[Direction, str]] = {
    "latency_ms": ("minimize", "latency_p50_ms"),
    "parameters": ("minimize", "parameters"),
    "flops": ("minimize", "flops"),
    "train_samples_s": ("maximize", "train_samples_s"),
    "inference_samples_s": ("maximize", "inference_samples_s"),
    "memory_mb": ("minimize", "memory_mb"),
    "energy_j": ("minimize", "energy_j"),
}
"""Objectives that are no metric but measured once a trial, with the figure that each is read from."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def parse_duration(value: object) -> float:
    """Return seconds from ``20m``, ``1h30m``, ``45s`` or a plain number of seconds. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = _DURATION.fullmatch(str(value).strip().replace(" ", ""))
        if match is None or not any(match.groups()):
            raise ValueError(f"{value!r} is not a duration; write 45s, 20m, 1h30m or a number of seconds")
        hours, minutes, rest = (float(part or 0) for part in match.groups())
        seconds = 3600 * hours + 60 * minutes + rest
    if not 0 < seconds < 10 * 365 * 86_400:
        raise ValueError(f"a duration must be above 0 seconds and below ten years, got {value!r}")
    return seconds


Amount = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Limits(Frozen):
    """Hard limits: what breaks one, by prediction or when it was measured, is ``infeasible``."""

    parameters: Annotated[int, Field(ge=1)] | None = None
    flops: Amount | None = None
    """Of one sample's forward pass."""
    latency_ms: Amount | None = None
    """Median of one sample's inference on the device of the search."""
    memory_mb: Amount | None = None
    """Peak of the training in MiB: torch's allocator on a GPU, elsewhere the process with all that it has loaded."""
    energy_j_per_sample: Amount | None = None
    """Joules for each sample that is trained on, validation included."""
    train_seconds: Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)] | None = None
    """Of all epochs with their validation."""


class Budget(Frozen):
    """What the search may spend; whichever ends first ends it."""

    trials: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 20
    time: Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)] | None = None
    """Seconds of wall time for the whole command, the final refit included."""
    stagnation: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Trials in a row without an improvement after which no further one begins."""
    trial_time: Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)] | None = None
    """Seconds of wall time for one trial, after which its outcome is ``timeout``."""
    checkpoint_time: Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)] = 10.0
    """Least seconds between two checkpoints of a trial that is being trained."""
    retries: Annotated[int, Field(ge=0, le=100)] = 1
    """How often a trial is started again after its worker process died."""


def _known(kind: str, shipped: Sequence[str]) -> list[str]:
    """Return the names of a kind: those that come with harness, then what installed packages add."""
    return [*shipped, *sorted(registered(kind) - set(shipped))]


_SAMPLERS, _PRUNERS = OneOf(lambda: _known("sampler", SAMPLERS)), OneOf(lambda: _known("pruner", PRUNERS))


class Search(Frozen):
    """How candidates are chosen and given up."""

    sampler: Annotated[str, BeforeValidator(_SAMPLERS.check), Field(json_schema_extra=_SAMPLERS.describe)] = "tpe"
    pruner: Annotated[str, BeforeValidator(_PRUNERS.check), Field(json_schema_extra=_PRUNERS.describe)] = "auto"
    """``auto``: median with one objective, or asha where wsd is the only schedule; with several dominated, or none
    where one is only known at the end.

    ``asha`` pauses trials and goes on with the best ones; ``dominated`` is the median rule for several objectives.
    """
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    deterministic: bool = False
    """Whether trials are planned without a clock, each on one thread, so that a seed repeats to the bit."""
    plan: Literal["auto", "safe"] = "auto"
    """How trials are planned. ``safe``: by rule and one by one, whatever another way would save on this machine."""
    baselines: bool = True
    """Whether scikit-learn's simplest models are scored beside the winner; decides no trial."""
    checks: bool = True
    """Whether the data are checked before the search; decides no trial."""
    winner: Literal["cheapest", "best"] = "cheapest"
    """Which wins of the trials that validation cannot tell from the best: the cheapest of them, or the best itself."""
    first: tuple[dict[str, Any], ...] = ()
    """Candidates that are tried first, each in the form of ``space:``; what one leaves out is drawn at random."""

    @property
    def by_rule(self) -> bool:
        """Whether nothing is measured to plan a trial."""
        return self.deterministic or self.plan == "safe"


def _one_message_for_folds(value: object) -> object:
    """Refuse what fits no form of the key in one message, where pydantic has one for each form."""
    if value in (None, "auto") or (type(value) is int and 2 <= value <= 100):
        return value
    raise ValueError(f"expected a number from 2 to 100, or auto, got {value!r}")


class Resampling(Frozen):
    """How often a candidate is trained for its value: once, in each of several folds, or with several seeds."""

    folds: Annotated[
        Annotated[int, Field(ge=2, le=100)] | Literal["auto"] | None, BeforeValidator(_one_message_for_folds)
    ] = None
    """Training and validation samples are dealt into so many folds, each of which is validation once.

    ``auto``: five where there are few samples, else none; the data decide when the search begins.
    """
    repeats: Annotated[int, Field(ge=2, le=100)] | None = None
    """Trained with so many seeds on the same samples."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Resampling:
        if self.folds and self.repeats:
            raise ValueError("folds and repeats exclude each other; leave out one of them")
        return self

    @property
    def trainings(self) -> int:
        """Trainings of a candidate."""
        return self.repeats or (1 if self.folds == "auto" else self.folds) or 1

    def __str__(self) -> str:
        return f"{self.folds} folds" if self.folds else f"{self.repeats} seeds" if self.repeats else "one holdout"


_RESERVED = ("s", "samples_s")
"""Names under which a metric's columns would be those of a time."""


def _metrics(value: object) -> object:
    """Accept a list of names and of ``{name: module:function}``, or one mapping of them, and check the names."""
    if isinstance(value, str | list):
        items = [value] if isinstance(value, str) else value
        if wrong := next((item for item in items if not isinstance(item, str | dict)), None):
            raise ValueError(f"expected names of metrics, or name: module:function, got {wrong!r}")
        value = {key: path for item in items for key, path in ({item: None} if isinstance(item, str) else item).items()}
    if not isinstance(value, Mapping):
        return value
    known, others = known_metrics(), registered("metric")
    for name, path in value.items():
        if path is None and name in known:
            continue
        if path is None and name not in others:
            raise ValueError(f"unknown metric {name!r}{did_you_mean(str(name), {*known, *others})}")
        if name in known or name in COST or name in _RESERVED or not str(name).isidentifier():
            raise ValueError(
                f"{name!r} cannot be the name of a metric of your own; use another, of letters, digits and _"
            )
        try:
            if path is not None:
                check_path(path, name)
        except InputError as error:
            raise ValueError(str(error)) from None
    return value


def _objective(value: object, info: ValidationInfo) -> object:
    """Accept one name, a list of names, or names with their directions, and check the names."""
    best = {name: "maximize" if metric.maximize else "minimize" for name, metric in known_metrics().items()}
    own = [name for name in info.data.get("metrics", {}) if name not in best]
    best |= {name: direction for name, (direction, _) in COST.items()}
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list):
        if undirected := next((name for name in names if name in own), None):
            raise ValueError(
                f"{undirected!r} is your own: say {{{undirected}: maximize}} or {{{undirected}: minimize}}"
            )
        value = names = {str(name): best.get(str(name)) for name in names}
    if not isinstance(names, Mapping):
        return value
    for name in names:
        if name not in best and name not in own:
            raise ValueError(f"unknown objective {name!r}{did_you_mean(str(name), [*best, *own])}")
    if names and (first := next(iter(names))) in COST:
        raise ValueError(
            f"the first one decides the best epoch, so it must be a metric of quality such as f1_macro or rmse; "
            f"{first!r} can only follow"
        )
    return value


class Spec(Frozen):
    """Everything that one search needs to know; the same for the command line and for Python."""

    task: Annotated[SerializeAsAny[TaskSpec], BeforeValidator(parse_task)]
    metrics: Annotated[dict[str, str | None], BeforeValidator(_metrics)] = {}
    """What else is measured on validation after every epoch: metrics by name, or the user's own as module:function."""
    objective: Annotated[dict[str, Direction], BeforeValidator(_objective)] = {}
    """Metric to direction, in order of importance; empty: the problem's own."""
    limits: Limits = Limits()
    budget: Budget = Budget()
    search: Search = Search()
    training: Training = Training()
    evaluation: Resampling = Resampling()
    space: Any
    """A :class:`Group`; parsed apart, since its errors carry paths of their own."""
    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should be told of how the file was read."""
        return self._notes

    @model_validator(mode="after")
    def _objectives_fit_together(self) -> Spec:
        several, pruner = len(self.objective) > 1, self.search.pruner
        early = ("parameters", "flops", "train_samples_s")
        late = [name for name in self.objective if name in COST and name not in early]
        if several and pruner in ("median", "asha", "hyperband"):
            other = "none" if late else "dominated"
            raise ValueError(f"search.pruner: {pruner!r} works with one objective only; use {other}")
        if pruner == "dominated" and late:
            raise ValueError(
                f"search.pruner: 'dominated' judges after every epoch, but {late[0]} is measured only at the end; "
                "use none, or drop it from objective"
            )
        if several and self.search.sampler == "cmaes":
            raise ValueError("search.sampler: 'cmaes' works with one objective only; use nsga2, tpe or gp")
        return self

    @model_validator(mode="after")
    def _can_be_resampled(self) -> Spec:
        if self.evaluation.trainings > 1 and self.evaluation.folds and self.task.split.order is not None:
            raise ValueError(
                "evaluation.folds: rows in the order of task.split.order cannot be dealt into folds, since most would "
                "be predicted from later ones; leave out one of both, or use evaluation.repeats"
            )
        if self.evaluation.trainings > 1 and self.search.pruner == "asha":
            raise ValueError(
                f"search.pruner: 'asha' pauses trials between epochs, and evaluation asks for {self.evaluation}; "
                "use median, hyperband or none"
            )
        if isinstance(self.training.final, Blended) and (self.evaluation.folds or self.evaluation.repeats):
            raise ValueError(
                "training.final: {trials: N} averages trials that were trained once each, and evaluation asks for "
                f"{self.evaluation}; use {{ensemble: N}}, or evaluation: {{}}"
            )
        return self

    @property
    def steps(self) -> int:
        """How often a trial may be judged: after each of its epochs, or after each of several trainings."""
        return self.evaluation.trainings if self.evaluation.trainings > 1 else self.budget.epochs

    @property
    def group(self) -> Group:
        """The parsed space."""
        assert isinstance(self.space, Group)
        return self.space

    @property
    def first(self) -> list[dict[str, Scalar]]:
        """The parameters that each of ``search.first`` fixes, by dotted path."""
        return [point_of(self.group, candidate) for candidate in self.search.first]

    @property
    def total(self) -> int:
        """Number of trials to run: a grid has no more of them than candidates."""
        points = size(self.group)
        return min(self.budget.trials, int(points)) if self.search.sampler == "grid" else self.budget.trials
