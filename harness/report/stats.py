"""What a report expects of ``stats.json``: its schema, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

Scores = dict[str, float | None]
"""Metrics by name; null where nothing was measured."""


class SuspicionStats(TypedDict):
    """What a check of the data noticed: its code, evidence in numbers, what to do, the column, and a few examples.

    ``share`` is that of the samples that it is about; null where it is about all.
    """

    code: str
    evidence: str
    remedy: str
    subject: str
    share: float | None
    examples: list[str]


class TaskStats(TypedDict):
    """What was learned: the data and its split.

    Older versions wrote neither ``suspicions``, which is what checks of the data noticed, nor ``unchecked``, which says
    why not all was checked.
    """

    name: str
    kind: str
    classes: list[str]
    train: int
    validation: int
    test: int
    fingerprint: str
    notes: list[str]
    suspicions: NotRequired[list[SuspicionStats]]
    unchecked: NotRequired[str]


class ObjectiveStats(TypedDict):
    """One objective; ``direction`` is ``maximize`` or ``minimize``."""

    metric: str
    direction: str


class SearchStats(TypedDict):
    """How the space was searched; ``size`` is null where a parameter is continuous."""

    sampler: str
    pruner: str
    seed: int
    trials: int
    size: float | None
    choices: NotRequired[Literal["measured", "by rule"]]
    """How layout, precision, batch size and threads were chosen."""
    winner: NotRequired[Literal["cheapest", "best"]]
    """Of those that validation cannot tell apart; the cheapest where it is not said."""
    notes: NotRequired[list[str]]
    ended_by: NotRequired[str]
    """What ended it before its total of trials, where that was neither time nor a signal."""


class BestStats(TypedDict):
    """The winner; ``pareto`` lists the front when there are several objectives.

    ``tied`` lists the trials that validation cannot tell from the best, of which the winner is the cheapest; where the
    best is to win, those that are as good.
    """

    trial: int
    candidate: dict[str, Any]
    params: dict[str, Any]
    validation: Scores
    pareto: list[int]
    standard_error: NotRequired[float | None]
    tied: NotRequired[list[int]]


PerClass = TypedDict(
    "PerClass",
    {
        "class": list[str],
        "precision": list[float | None],
        "recall": list[float | None],
        "f1": list[float | None],
        "support": list[int],
    },
)
"""Test scores of each class, one list position a class."""


class ComparedStats(TypedDict):
    """A model that the final one was chosen from, as it was on validation; null: there is nothing to compare with.

    ``difference`` is its plain loss less that of ``against``, ``standard_error`` that of the mean of the samples'
    differences, ``objective`` the first objective.
    """

    what: str
    members: int
    temperature: NotRequired[float]
    isotonic: NotRequired[bool]
    objective: float | None
    loss: float | None
    against: str
    difference: float | None
    standard_error: float | None
    chosen: bool


class MistakeStats(TypedDict):
    """A test sample that the final model got wrong: which one, what is right, and what it answered instead.

    ``confidence`` is the probability of a class, null for values; what the model answered is null where that is no
    finite number. ``picture`` is a small PNG in base64, ``row`` holds the first columns of a table as they were read,
    ``text`` the beginning of a text.
    """

    index: int
    name: NotRequired[str]
    target: str | float | None
    predicted: str | float | None
    confidence: float | None
    picture: NotRequired[Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]+$")]]
    row: NotRequired[dict[str, str]]
    text: NotRequired[str]


class ThresholdStats(TypedDict):
    """From which probability on the second of two classes is predicted, and the scores of the most probable class.

    ``by`` is ``f1``, ``youden`` or ``cost`` where it was chosen on validation, with the costs, and ``value`` where it
    was given. ``set`` says whether that was ``before`` the test samples were opened, or ``after`` their scores were
    known.
    """

    value: float
    by: Literal["f1", "youden", "cost", "value"]
    false_positive: NotRequired[float]
    false_negative: NotRequired[float]
    set: Literal["before", "after"]
    most_probable: Scores


class TestStats(TypedDict):
    """The winner on the test part; ``confusion`` has actual classes as rows and predicted ones as columns.

    ``final`` is ``refit``, ``keep``, ``ensemble`` or ``trials``. What older versions did not write is not required:
    ``members`` of the final model, the ``trials`` that it averages, the ``temperature`` that its logits are divided by,
    or ``isotonic`` where its probabilities are taken along curves instead, the ``threshold`` that the metrics are at,
    the ``decision`` for it, what it took, of an average the ``figures`` (see FIGURES), the ``reasons`` why metrics are
    null, and the worst ``mistakes``.
    """

    final: str
    members: NotRequired[int]
    trials: NotRequired[list[MemberStats]]
    temperature: NotRequired[float]
    isotonic: NotRequired[bool]
    threshold: NotRequired[ThresholdStats]
    note: NotRequired[str]
    decision: NotRequired[list[ComparedStats]]
    rehearsal_s: NotRequired[float | None]
    refit_s: NotRequired[float | None]
    figures: NotRequired[Scores]
    opened: int
    metrics: Scores
    reasons: NotRequired[dict[str, str]]
    per_class: PerClass | None
    confusion: list[list[int]] | None
    mistakes: NotRequired[list[MistakeStats]]
    interval: NotRequired[dict[str, tuple[float | None, float | None]] | None]


class BaselineStats(TypedDict):
    """What one of scikit-learn's models reached beside the winner; ``note`` says why a metric is null."""

    name: str
    validation: Scores
    test: Scores | None
    seconds: float | None
    rows: int
    note: str


class MemberStats(TypedDict):
    """A trial in an average, with its share."""

    trial: int
    weight: float
    architecture: str


class AverageOnValidation(TypedDict):
    """Mean losses on validation: of the average, of what halves selected for each other, and of the best trial."""

    samples: int
    ensemble: float | None
    halves: float | None
    single: float | None
    single_trial: int


class LookedAt(TypedDict):
    """Figures of the average, of the final model, and of the best trial alone."""

    ensemble: Scores
    best: Scores
    trial: Scores


class DifferenceStats(TypedDict):
    """By how much the average's mean loss is larger than another's on the same samples, and that mean's error."""

    mean: float | None
    standard_error: float | None


class AverageOnTest(TypedDict):
    """One look at the test set, the ``opened``-th; ``differences`` are to ``best`` and ``trial``."""

    opened: int
    samples: int
    metrics: LookedAt
    differences: dict[str, DifferenceStats]


class AverageStats(TypedDict):
    """The contents of ``ensemble/score.json``; ``models`` has what using each model takes."""

    schema_version: int
    metric: str
    trials: int
    members: list[MemberStats]
    temperature: float
    validation: AverageOnValidation
    test: AverageOnTest
    models: LookedAt
    notes: list[str]


class Stats(TypedDict):
    """The contents of ``stats.json``."""

    schema_version: int
    task: TaskStats
    objective: list[ObjectiveStats]
    search: SearchStats
    evaluation: NotRequired[dict[str, int]]
    """``folds`` or ``repeats`` of each trial; empty: one holdout."""
    elapsed_s: float | None
    outcomes: dict[str, int]
    seconds_by_outcome: dict[str, float | None]
    best: BestStats | None
    test: TestStats | None
    baselines: NotRequired[list[BaselineStats]]
