"""What a kind of problem is: its metrics, losses and baselines, and how it is trained, judged and reported.

Whatever differs between kinds of problems is asked of the problem, by nobody else's knowledge of which one it is. What
is said here in names and directions needs neither torch nor NumPy; the methods that compute load them when called.

Shape legend: N samples, B batch, M models, C outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from harness.errors import InputError
from harness.problems.baselines import Baselines
from harness.records import NAN, Target, TaskShape
from harness.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from harness.problems.counted import Counted
    from harness.problems.outputs import Outputs

    Floats = NDArray[np.float64]

LOSS = "loss"
"""The metric that every problem has: the plain loss, to be made small."""


class Undefined(ValueError):
    """A metric has no value on these samples; the message says why."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of quality.

    >>> Metric("recall_macro", maximize=True, summed=True, share=True).unit
    ''
    """

    name: str
    maximize: bool
    unit: str = ""
    """``of the target``, or nothing."""
    summed: bool = False
    """Whether it follows from sums over batches: such metrics are measured on both parts after every epoch. The others
    need all predictions of a part at once."""
    share: bool = False
    """Whether it is a share of the samples told right, or a mean of such shares."""


class Interval(NamedTuple):
    """A 95 % interval of one test metric."""

    metric: str
    low: float
    high: float
    method: str


class Doubt(NamedTuple):
    """A test score that is no better than an answer that ignores the inputs."""

    title: str
    score: float
    compared: str
    """What reaches as much, in words that ``bound`` follows where there is one."""
    bound: float = NAN


class LossOptions(Protocol):
    """What a space says of the loss."""

    @property
    def loss(self) -> str:
        """A name of the problem's ``losses``, or ``auto``."""

    @property
    def label_smoothing(self) -> float:
        """The share of a target that is spread over all classes."""

    @property
    def class_weights(self) -> str:
        """``none`` or ``balanced``."""


class Seen(Protocol):
    """The targets of a batch as they were trained on."""

    @property
    def targets(self) -> Tensor:
        """One per sample."""

    @property
    def mix(self) -> Tensor | None:
        """Of mixed samples, the share of ``targets``."""

    @property
    def mixed_targets(self) -> Tensor | None:
        """Of mixed samples, the other targets."""


class Criterion(Protocol):
    """What a batch costs."""

    def scores(self, outputs: Outputs) -> Tensor:
        """Return what losses and metrics take, from what the model returns."""

    def training_loss(self, scores: Tensor, batch: Seen) -> Tensor:
        """Return the loss that is minimised, without L1: a mean over the batch."""

    def weight(self, batch: Seen) -> Tensor | int:
        """Return what that mean divides by: the number of samples, or the sum of their class weights."""

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the plain mean loss."""

    def predictions(self, scores: Tensor) -> Tensor:
        """Return what :class:`Quality` takes: ``B x C`` logits, or values in the targets' units."""

    def answers(self, scores: Tensor) -> Tensor:
        """Return what the model is used for: ``B x C`` probabilities, or values in the targets' units."""

    def targets_seen(self, batch: Seen) -> Tensor:
        """Return one target per sample: of a mixed sample the weightier class, or the mixed value."""


class Quality(Protocol):
    """What measures predictions against targets, batch by batch."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch; no waiting for the device."""

    def metrics(self) -> dict[str, float]:
        """Return the summed metrics of everything added, NaN when that is nothing; waits for the device once."""


class StackedCriterion(Protocol):
    """What batches cost of several models of one task, as :class:`Criterion` says of one; the models come first."""

    def scores(self, outputs: Tensor) -> Tensor:
        """Return what losses and metrics take, from what the models return."""

    def training_loss(
        self, scores: Tensor, targets: Tensor, gradient: Tensor, counted: Counted | None = None
    ) -> Tensor:
        """Return the ``K`` losses that are minimised, without L1, and write their ``gradient`` at the outputs.

        ``counted`` says which samples count; None: all.
        """

    def loss(self, scores: Tensor, targets: Tensor, counted: Counted | None = None) -> Tensor:
        """Return the ``K`` plain mean losses; targets are of each model, or ``N`` that all have in common."""

    def predictions(self, scores: Tensor) -> Tensor:
        """Return what :class:`Qualities` take."""


class Qualities(Protocol):
    """What measures the predictions of several models."""

    def update(self, predictions: Tensor, targets: Tensor, mask_KN: Tensor | None = None) -> None:
        """Add samples of each model; their targets, or those of samples that all have in common.

        Of a mask those count where it is true.
        """

    def metrics(self) -> list[dict[str, float]]:
        """Return the summed metrics of each model."""


class Each:
    """Measures of several models, each for itself."""

    def __init__(self, measures: Sequence[Quality]) -> None:
        self._measures = measures

    def update(self, predictions: Tensor, targets: Tensor, mask_KN: Tensor | None = None) -> None:
        """Add ``K x N`` predictions, and targets of each or ``N`` of all; of a mask those where it is true."""
        shared = targets.shape[: predictions.ndim - 1] != predictions.shape[: predictions.ndim - 1]
        for place, measure in enumerate(self._measures):
            counted = slice(None) if mask_KN is None else mask_KN[place]
            measure.update(predictions[place][counted], (targets if shared else targets[place])[counted])

    def metrics(self) -> list[dict[str, float]]:
        """Return those of each."""
        return [measure.metrics() for measure in self._measures]


class Problem(ABC):
    """One kind of problem. A subclass in a file of its own, added to ``problems``, is all that a new one takes.

    >>> from harness.problems import problems
    >>> problems["regression"].objective, problems["classification"].metric("accuracy").maximize
    ('rmse', True)

    ``answers`` are what :meth:`Criterion.answers` returns of all samples of a part, as an array; ``targets`` beside
    them are in the same units.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    """In the order of reports; LOSS, which every problem has, is not among them."""
    headline: ClassVar[tuple[str, ...]]
    """The metrics that a search ends with on the terminal, beside the loss."""
    objective: ClassVar[str]
    """What is searched for, and decides the best epoch, where nobody says otherwise."""
    losses: ClassVar[tuple[str, ...]]
    """The losses that fit; the first is what ``auto`` means."""
    classes: ClassVar[bool] = False
    """Whether its targets are classes; else they are numbers."""
    ordered: ClassVar[bool] = False
    """Whether its classes have an order."""
    flags: ClassVar[bool] = False
    """Whether each value is 0 or 1: such targets are neither centred nor scaled, and answers are probabilities."""
    stratified: ClassVar[bool] = False
    """Whether each part of the data gets its share of each class."""
    stackable: ClassVar[bool] = False
    """Whether it has a :meth:`stacked_criterion`, by which several models are trained as one program."""
    calibrated: ClassVar[bool] = False
    """Whether answers are probabilities, which a temperature can make softer or sharper."""
    baselines: Baselines | None = None
    """scikit-learn's models to compare the winner with; None: there are none."""
    naive: ClassVar[str] = ""
    """The name of a baseline beside those, or without them, that no model should be worse than."""
    step: ClassVar[str] = ""
    """The metric that moves by 1 / N with each sample; "" where there is none."""
    figure: ClassVar[str] = ""
    """What a report draws of the test samples: ``predicted_against_actual``, ``quantiles``, ``forecast`` or
    nothing."""
    continues: ClassVar[bool] = False
    """Whether the targets are what follows on the first channel of a series, in its units."""
    intervals: ClassVar[bool] = True
    """Whether intervals of predicted values can be made from the errors on validation."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Columns of predictions with what targets have behind their values."""
    unchecked: ClassVar[tuple[str, ...]] = ()
    """Metrics, the loss perhaps, that the columns of predictions alone do not tell."""

    @property
    def summed(self) -> tuple[str, ...]:
        """The names of what is measured after every epoch."""
        return (LOSS, *(metric.name for metric in self.metrics if metric.summed))

    @property
    def unsummed(self) -> tuple[str, ...]:
        """The names of what is measured where it is asked for, and on the test samples."""
        return tuple(metric.name for metric in self.metrics if not metric.summed)

    def metric(self, name: str) -> Metric:
        """Return a metric by its name; of one that is not the problem's, one that says nothing but the name."""
        return next((metric for metric in self.metrics if metric.name == name), Metric(name, maximize=False))

    def of(self, target: Target | None) -> Problem:
        """Return the problem with what it must know of such a target; of most it is the same for all targets."""
        return self

    def lacks(self, metric: str) -> str:
        """Say why one of its metrics has no value, whatever the samples; "" where it may have one."""
        return ""

    # Losses

    def loss_name(self, shape: TaskShape, loss: str) -> str:
        """Return the loss to use, ``auto`` resolved. Raises :class:`InputError` for one that does not fit."""
        if loss == "auto":
            return self.losses[0]
        if loss not in self.losses:
            fitting = " or ".join(self.losses)
            raise InputError(f"loss: {loss!r} does not fit a {self.name} task; use auto, {fitting}")
        return loss

    def outputs_for(self, shape: TaskShape, loss: str) -> int:
        """Return how many outputs the model must have. Raises :class:`InputError`."""
        self.loss_name(shape, loss)
        return shape.outputs

    def check_no_classes(self, options: LossOptions) -> None:
        """Raise :class:`InputError` for options of the loss that are for classes."""
        for key, off in (("label_smoothing", 0.0), ("class_weights", "none")):
            if getattr(options, key) != off:
                raise InputError(f"{key}: is for classes, and this task predicts values; set it to {off}")

    @abstractmethod
    def criterion(
        self,
        shape: TaskShape,
        options: LossOptions,
        *,
        class_counts: Sequence[int] | None,
        device: torch.device,
    ) -> Criterion:
        """Return the loss that is asked for. Raises :class:`InputError` for options that do not fit."""

    def stacked_criterion(
        self,
        shapes: Sequence[TaskShape],
        options: Sequence[LossOptions],
        *,
        class_counts: Sequence[Sequence[int] | None],
    ) -> StackedCriterion:
        """Return the losses of several models on a CPU.

        They differ at most in their label smoothing, and in what follows from training samples of their own: the scale
        of values and the counts of classes.
        """
        raise NotImplementedError(f"the losses of a {self.name} task are computed for one model only")

    @abstractmethod
    def losses_of(
        self, answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]
    ) -> Floats:
        """Return the plain loss of each sample; values are in standard units, one ``scale`` each."""

    # Targets

    def class_counts(self, targets: NDArray[Any], shape: TaskShape) -> list[int] | None:
        """Return the training samples of each class; None where there are no classes."""
        return None

    def learned(self, targets: NDArray[Any], target: Target) -> NDArray[Any]:
        """Return targets as they are learned, of those as they were read: classes as they are, values less their mean.

        Values are float64.
        """
        import numpy as np

        return targets if self.classes else targets - np.reshape(target.centre, target.shape)

    def own_units(self, answers: NDArray[np.floating], shape: TaskShape) -> NDArray[np.floating]:
        """Return answers in the units of the targets as they were read."""
        return answers

    # Measuring

    @abstractmethod
    def quality(self, shape: TaskShape, device: torch.device) -> Quality:
        """Return an empty measure of the summed metrics."""

    def qualities(self, shape: TaskShape, models: int) -> Qualities:
        """Return empty measures of the summed metrics of several models on a CPU."""
        import torch

        return Each([self.quality(shape, torch.device("cpu")) for _ in range(models)])

    @abstractmethod
    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric of all samples of a part. Raises :class:`Undefined` where it has no value on them."""

    def standard_error(
        self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int
    ) -> float | None:
        """Return the standard error of a metric; None where none is known but by leaving samples out."""
        return None

    def skill(self, training: Mapping[str, float], class_counts: Sequence[int] | None) -> tuple[float, str]:
        """Return the share of the naive answer's errors that training has removed, and the figures; NaN: unknown."""
        return NAN, ""

    # The final model

    @abstractmethod
    def averaged(self, outputs: Tensor) -> Tensor:
        """Return what ``M x B x C`` outputs of models say together, in the form of one model's."""

    @abstractmethod
    def columns(self, answers: NDArray[np.floating], names: Sequence[str]) -> dict[str, Any]:
        """Return the columns of predictions in own units: ``predicted``, or one for each of several values.

        ``names`` are those of the classes, or of the values.
        """

    def target_columns(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Return the columns of what is right: ``target``, or one for each of several values."""
        if targets.ndim == 1:
            return {"target": targets}
        return {f"target_{name}": targets[:, place] for place, name in enumerate(names)}

    def details(self, quality: Quality, class_names: Sequence[str]) -> dict[str, Any]:
        """Return ``per_class`` and ``confusion`` for ``stats.json``; nothing where there are no classes."""
        return {}

    # Reports

    def interval(self, targets: NDArray[Any], predicted: NDArray[Any]) -> Interval | None:
        """Return how sure the test score is."""
        return None

    def test_losses(self, predictions: pd.DataFrame) -> Floats | None:
        """Return the plain loss of each test sample but for a factor; None where the predictions do not tell it."""
        return None

    def mistakes(self, targets: NDArray[Any], answers: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the places of the samples that were got wrong, the worst first; none where none can be called so."""
        import numpy as np

        return np.empty(0, np.int64)

    def doubts(
        self, test: Mapping[str, float], naive: Mapping[str, float], stats: Mapping[str, Any]
    ) -> Iterator[Doubt]:
        """Yield the test scores that are no better than the naive baseline's; both give NaN for what is not known."""
        return iter(())


problems: Registry[Problem] = Registry("problem")


def problem_of(shape: TaskShape) -> Problem:
    """Return the problem of a task, with what it must know of the task's target."""
    return problems[shape.kind].of(shape.target)
