"""Frozen records that flow between the floors. Units are in the names; NaN means "not measured".

A figure that could not be measured is NaN and ``reasons`` says why, under the figure's own name; a figure measured in a
roundabout way (energy integrated from power) has its source there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NAN = math.nan
MIB = 2**20
"""Bytes of a mebibyte."""


class Outcome(StrEnum):
    """How a trial ended. None of them ends the study."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    INFEASIBLE = "infeasible"
    OOM = "oom"
    DIVERGED = "diverged"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"


class TaskKind(StrEnum):
    """The names of the problems that come with harness; :mod:`harness.problems` has what they are."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    FORECASTING = "forecasting"
    QUANTILE_FORECASTING = "quantile-forecasting"
    QUANTILE_REGRESSION = "quantile-regression"


class InputKind(StrEnum):
    """What an input of a model holds, in the shape of one sample."""

    IMAGE = "image"
    """Channels x height x width."""
    NUMERIC = "numeric"
    """Columns of numbers; a table may have none of them."""
    CATEGORICAL = "categorical"
    """Columns of codes; code 0 stands for unknown or missing."""
    TOKENS = "tokens"
    """Codes in sequence."""
    SERIES = "series"
    """Steps x channels, in the order of time."""
    SIGNAL = "signal"
    """Channels x values at a steady rate, as sound is."""
    MASK = "mask"
    """Which positions of the input before it are there; the others are padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One of the tensors that a model is called with.

    >>> Input(kind=InputKind.IMAGE, shape=(1, 8, 8)).sizes
    (1, 8, 8)
    """

    kind: InputKind
    shape: tuple[int | None, ...]
    """Of one sample; None is a length that varies, padded within a batch, and then a MASK is the next input."""
    dtype: str = "float32"
    """Torch's name of it."""
    cardinalities: tuple[int, ...] = ()
    """How many codes there are: of each categorical column, or of the tokens; all are >= 1."""
    quantiles: tuple[tuple[float, ...], ...] = ()
    """Of each numeric column ascending quantiles of its training values, as a model sees them; empty: not known."""
    distribution: tuple[tuple[float, ...], ...] = ()
    """Of each numeric column more of such quantiles, at equal distances, repeated ones included; empty: not known."""
    counts: tuple[tuple[int, ...], ...] = ()
    """Of each categorical column how many training samples each code from 1 on has; empty: not known."""
    patches: tuple[tuple[float, ...], ...] = ()
    """Of an image the covariance of its patches of 3 x 3 pixels in training, as a model sees them: rows and columns are
    channel, row and column of a pixel, the last one fastest; empty: not known."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of one sample where no length varies."""
        assert None not in self.shape, f"the length of a {self.kind} input varies"
        return tuple(size for size in self.shape if size is not None)


def image_inputs(
    channels: int, height: int, width: int, patches: tuple[tuple[float, ...], ...] = ()
) -> tuple[Input, ...]:
    """Return the only input of a task of images."""
    return (Input(kind=InputKind.IMAGE, shape=(channels, height, width), patches=patches),)


def table_inputs(
    features: int,
    cardinalities: tuple[int, ...] = (),
    quantiles: tuple[tuple[float, ...], ...] = (),
    distribution: tuple[tuple[float, ...], ...] = (),
    counts: tuple[tuple[int, ...], ...] = (),
) -> tuple[Input, ...]:
    """Return the inputs of a table: its numbers and, where there are any, its categories."""
    numbers = Input(kind=InputKind.NUMERIC, shape=(features,), quantiles=quantiles, distribution=distribution)
    if not cardinalities:
        return (numbers,)
    shape = (len(cardinalities),)
    codes = Input(kind=InputKind.CATEGORICAL, shape=shape, dtype="int64", cardinalities=cardinalities, counts=counts)
    return numbers, codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be predicted of one sample: a class, or values of any shape."""

    names: tuple[str, ...] = ()
    """Of the classes, or of the values where there are several."""
    shape: tuple[int, ...] = ()
    """Of one target; () is a single number."""
    dtype: str = "float32"
    """Torch's name of it; int64 for codes."""
    centre: tuple[float, ...] = (0.0,)
    """What was taken off each value before it became float32: its mean in training; empty for classes."""
    scale: tuple[float, ...] = (1.0,)
    """One standard unit of each value, in which losses are measured; empty for classes."""
    log: bool = False
    """Whether it is the logarithm of each value that is learned; ``centre`` and ``scale`` are of logarithms then."""
    quantiles: tuple[float, ...] = ()
    """The quantiles that are predicted of each value, ascending; empty: the value itself."""
    season: int = 0
    """Of values that follow on a series, the steps after which it resembles itself; 0: they follow on none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskShape:
    """What a model must know of its task.

    A model is called as ``model(*tensors)``, one tensor for each of ``inputs`` in their order, the batch first. It
    returns float ``B x outputs``, or a tuple, list or dict with that as its first tensor.

    >>> shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(13))
    >>> shape.inputs[0].kind, shape.inputs[0].sizes
    (<InputKind.NUMERIC: 'numeric'>, (13,))
    """

    kind: str
    """The name of a problem, such as a :class:`TaskKind`."""
    outputs: int
    """Number of classes, or of target values; 1 for two classes whose loss is ``binary``."""
    inputs: tuple[Input, ...] = ()
    target: Target | None = Target()
    """None: there is nothing to predict but the inputs themselves."""

    @property
    def scale(self) -> tuple[float, ...]:
        """One standard unit of each value to predict, in which losses are measured; empty where there are no values."""
        return self.target.scale if self.target else ()

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Those that are predicted of each value, ascending; empty: the value itself, or what has none."""
        return self.target.quantiles if self.target else ()

    def find(self, kind: InputKind) -> Input | None:
        """Return the first input of a kind; None where there is none."""
        return next((each for each in self.inputs if each.kind is kind), None)


@dataclass(frozen=True, slots=True)
class Named:
    """A chosen option with its parameters: an architecture, an optimiser, a schedule."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """Measured figures by name, with a reason for each that is NaN or needs a word on its source."""

    values: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Figures) -> Figures:
        """Return both together; where both hold a name the right-hand side wins."""
        return Figures({**self.values, **other.values}, {**self.reasons, **other.reasons})

    @classmethod
    def missing(cls, reason: str, *names: str) -> Figures:
        """Return NaN for every name, each with the same reason."""
        return cls(dict.fromkeys(names, NAN), dict.fromkeys(names, reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of one trial.

    >>> loss = {"loss": 0.7}
    >>> timed = {"train_s": 0.2, "validation_s": 0.1, "train_samples_s": 500.0}
    >>> EpochRecord(trial=0, epoch=1, train=loss, validation=loss, learning_rate=0.01, gradient_norm=1.0, **timed).fold
    1
    """

    trial: int
    epoch: int
    """Counted from 1."""
    train: Mapping[str, float]
    """The problem's summed metrics over the training samples as they were seen, augmentation and dropout included."""
    validation: Mapping[str, float]
    """Metrics on the validation part after the epoch, others too where they are asked for; empty: there is none."""
    learning_rate: float
    """Of the last step of the epoch."""
    gradient_norm: float
    """Mean global L2 norm over the epoch's steps, before clipping."""
    train_s: float
    validation_s: float
    train_samples_s: float
    fold: int = 1
    """Which training of the trial it is of, from 1: one for each fold, or each seed; a holdout has one."""
    note: str = ""
    """Notes on training: vanishing gradients, overfitting, skipped fp16 steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a candidate is trained here, and why."""

    device: str
    """``cpu``, ``cuda:0``, ``mps``."""
    precision: str
    """``fp32``, ``tf32``, ``bf16`` or ``fp16``."""
    precision_ratio: float
    """Measured seconds per step in fp32 over the chosen precision (> 1 is faster); NaN when not measured."""
    precision_reason: str
    batch_size: int
    layout: str
    """``contiguous``, ``channels_last``, or ``winograd``: channels last, small maps by Winograd's algorithm."""
    layout_reason: str
    data_path: str
    """``resident`` or ``streamed``."""
    data_reason: str
    threads: int
    micro_batch: int = 0
    """Samples that go through the model at once; below ``batch_size`` their gradients are added up. 0: the batch."""
    threads_reason: str = ""
    arm: str = "alone"
    """``alone``, or ``stacked``: its steps are taken with those of others, or as if they were, in one program."""
    arm_reason: str = ""
    most_epochs: int = 0
    """The epochs that there was time for, where these are fewer than were asked for; 0: all that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One evaluation of a candidate.

    >>> record = TrialRecord(trial=3, outcome=Outcome.PRUNED, reason="worse than the median", candidate={}, params={})
    >>> record.outcome, record.values
    (<Outcome.PRUNED: 'pruned'>, ())
    """

    trial: int
    outcome: Outcome
    reason: str
    """Why it ended as it did; never empty."""
    candidate: Mapping[str, Any]
    """The candidate in the form of a space file in which everything is fixed."""
    params: Mapping[str, Any]
    """What the sampler chose, by dotted path."""
    values: tuple[float, ...] = ()
    """One per objective; empty unless complete."""
    seed: int = 0
    epochs: int = 0
    """That were trained, in all folds together."""
    best_epoch: int = 0
    """Epoch of the best first objective; its weights and metrics are the trial's. 0: none finished. Of several folds
    the mean, rounded; the metrics are then the means over the folds of what each reached at its own best epoch."""
    train: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    plan: Plan | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    """By the names in FIGURES."""
    predicted: Mapping[str, float] = field(default_factory=dict)
    """What was predicted of it before it was trained, by the names in PREDICTED; empty: nothing was."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a figure is NaN, or where it comes from."""
    notes: tuple[str, ...] = ()
    started_unix_s: float = NAN
    seconds: float = NAN
    """Wall time on its device, all parts that its result rests on; a trial that shares a device counts in full, one
    that shares a program with others has its share of it."""
    shared_with: int = 0
    """Trials that were trained in one program with it: its seconds, energy and memory are its share of the program's,
    so that their sum over these trials is what the program took."""
    lost_s: float = 0.0
    """Device-seconds of attempts that left nothing: a worker that died, an epoch that was cut off."""
    attempts: int = 1
    """How often it was started; above 1 after the death of a worker, an interruption or running out of memory."""
    same_as: int | None = None
    """The earlier trial of the same candidate, whose result this one took without being trained."""


FIGURES = (
    "parameters",
    "flops",
    "train_samples_s",
    "inference_samples_s",
    "latency_p50_ms",
    "latency_p95_ms",
    "memory_allocated_peak_mib",
    "memory_device_peak_mib",
    "memory_process_peak_mib",
    "memory_rss_peak_mib",
    "gpu_utilization_percent",
    "power_w",
    "idle_power_w",
    "energy_j",
    "energy_j_per_sample",
    "temperature_c",
    "epoch_s",
    "gate_s",
    "value_se",
    "value_sd",
)
"""Names of a trial's figures. ``flops`` counts one sample's forward pass; ``memory_allocated`` is torch's allocator,
``memory_device`` and ``memory_process`` are NVML's, ``memory_rss`` the host process; utilisation and power are means,
memory, temperature are peaks; ``energy_j`` covers the trial's training and validation, ``energy_j_per_sample`` is it
over the samples that were trained on, ``idle_power_w`` what was drawn before the work began; ``epoch_s`` is the median
of an epoch with its validation, ``gate_s`` what was spent on predicting all this; ``value_se`` is the standard error of
the first objective on the validation samples, ``value_sd`` its standard deviation over folds or seeds."""

PREDICTED = (
    "latency_ms",
    "memory_mb",
    "static_memory_mb",
    "epoch_s",
    "train_seconds",
    "energy_j_per_sample",
)
"""What gates predict of a trial: the median latency of one sample, the peak memory (``static``: without the device, by
the sizes of tensors alone), seconds of an epoch with its validation and of all epochs, joules of one sample trained."""

MEMORY_METERS = ("memory_allocated_peak_mib", "memory_process_peak_mib", "memory_rss_peak_mib")
"""The meters of a trial's memory, the most exact one first; each device has one of them at least."""


def memory_mib(figures: Mapping[str, float]) -> float:
    """Return what counts as a trial's memory: its peak by the most exact of the meters that its device has."""
    known = (figures[name] for name in MEMORY_METERS if math.isfinite(figures.get(name, NAN)))
    return next(known, NAN)


TELEMETRY = (
    "cpu_percent",
    "memory_rss_mib",
    "cpu_pressure_percent",
    "memory_pressure_percent",
    "cpu_energy_j",
    "gpu_utilization_percent",
    "memory_utilization_percent",
    "memory_device_mib",
    "memory_process_mib",
    "memory_reserved_mib",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "power_w",
    "power_instant_w",
    "energy_counter_j",
    "temperature_c",
    "throttle_reasons",
    "pcie_rx_mb_s",
    "pcie_tx_mb_s",
)
"""Columns of one telemetry sample, beside its ``time_unix_s`` and ``trial``. ``throttle_reasons`` is NVML's bit mask;
``energy_counter_j`` (the GPU) and ``cpu_energy_j`` (the processor's package, by RAPL) count from an arbitrary zero;
``power_w`` is NVML's average, over the last second on most GPUs; pressure is the share of the time since the last
sample in which some task waited (Linux pressure stall information); PCIe traffic is in 10^6 bytes per second."""


@dataclass(frozen=True, slots=True)
class TelemetryRecord:
    """One sample of every meter at one time, by the names in TELEMETRY."""

    time_unix_s: float
    values: Mapping[str, float]
    trial: int = -1
    """-1: outside any trial; of several that are trained as one program the first."""
