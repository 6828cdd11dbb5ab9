"""What the baselines are: the columns that they see, scikit-learn's estimators, and what fitting them costs.

What the estimators cost was measured on one thread of an EPYC core and decides how many rows and rounds they get, so
that the choice is the same on every machine. scikit-learn is imported on use alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data import Part
from harness.data.pooling import pool_of, pooled
from harness.data.token_counts import PER_TOKEN
from harness.problems import Baselines, Estimator, problem_of, problems
from harness.records import NAN, Input, InputKind, TaskKind, TaskShape
from harness.study.baseline_texts import tfidf

Floats = NDArray[np.float64]

ROWS = 20_000
"""Most rows that a baseline is fitted on."""
LEAST_ROWS = 1_000
COLUMNS = 2_000
"""Most numeric columns of a table, or values of a series."""
CATEGORIES = 20
"""Most columns that one category becomes for the linear model; the rarer categories share one."""
NATIVE_CATEGORIES = 255
"""Categories that gradient boosting can split by as such; a column with more is taken as numbers."""
ROUNDS = 100
"""scikit-learn's default of gradient boosting."""
LEAST_ROUNDS = 20

_BOOSTING_S = 2.0
"""Seconds that one fit of gradient boosting may take; on digits that is some 40 rounds."""


@dataclass(frozen=True)
class Columns:
    """Turns the inputs of a task into float64 columns: numbers, or the values of series, then codes of categories."""

    shape: TaskShape
    chosen: NDArray[np.int64]
    """The numeric columns that are used of a table, or the values of a series."""

    @classmethod
    def of(cls, shape: TaskShape, seed: int) -> Columns:
        """Return the columns of a task, drawn from ``seed`` where a table has too many numeric ones."""
        rng = np.random.default_rng(seed)
        features = _features(shape)
        few = features <= COLUMNS
        chosen = np.arange(features) if few else np.sort(rng.choice(features, COLUMNS, replace=False))
        return cls(shape, chosen)

    @property
    def models(self) -> Baselines | None:
        """The models of the task's kind of problem, where it has any."""
        return problem_of(self.shape).baselines

    @property
    def image(self) -> tuple[int, ...]:
        """Channels, height and width of images; empty for a table."""
        found = self.shape.find(InputKind.IMAGE)
        return found.sizes if found else ()

    @property
    def tokens(self) -> Input | None:
        """The codes of texts; None where there are none."""
        return self.shape.find(InputKind.TOKENS)

    @property
    def pool(self) -> int:
        """Side of the squares of pixels that become one value; 1: every pixel is one."""
        return pool_of(*self.image) if self.image else 1

    @property
    def numbers(self) -> int:
        """How many columns hold numbers, or codes of tokens."""
        if self.tokens:
            return self.tokens.sizes[0]
        if not self.image:
            return len(self.chosen)
        channels, height, width = self.image
        return channels * -(-height // self.pool) * -(-width // self.pool)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """The number of codes of each categorical column."""
        found = self.shape.find(InputKind.CATEGORICAL)
        return found.cardinalities if found else ()

    @property
    def width(self) -> int:
        """How many columns the linear model sees, categories one-hot; of texts, how many are not zero."""
        if self.tokens:
            return PER_TOKEN * self.numbers
        return self.numbers + sum(min(count, CATEGORIES) for count in self.cardinalities)

    @property
    def note(self) -> str:
        """What is not seen of the inputs; empty when all is."""
        if self.pool > 1:
            return f"images average-pooled by {self.pool} x {self.pool} pixels"
        if len(self.chosen) < _features(self.shape):
            return f"{len(self.chosen):,} of {_features(self.shape):,} numeric columns, drawn from the seed"
        return ""

    def inputs(self, part: Part, rows: NDArray[np.int64] | None = None) -> Floats:
        """Return the columns of a part, or of some of its rows."""
        arrays = part.inputs if rows is None else tuple(array[rows] for array in part.inputs)
        if self.image:
            return pooled(arrays[0], self.pool)
        if self.tokens:
            return arrays[0].astype(np.float64)
        numbers = arrays[0].reshape(len(arrays[0]), _features(self.shape))[:, self.chosen]
        kinds = (each.kind for each in self.shape.inputs)
        # Of series the mask is left out: what is not there is zero, the mean of training.
        codes = [array for array, kind in zip(arrays, kinds, strict=True) if kind is InputKind.CATEGORICAL]
        return np.column_stack([numbers, *codes]).astype(np.float64)


def _features(shape: TaskShape) -> int:
    numbers = shape.find(InputKind.NUMERIC) or shape.find(InputKind.SERIES)
    return math.prod(numbers.sizes) if numbers else 0


def fitting_rows(columns: Columns) -> int:
    """Return the most rows to fit on; 0 where nothing is fitted."""
    if columns.models is None:
        return 0
    return int(np.clip(columns.models.most_rows(max(1, columns.width), columns.shape.outputs), LEAST_ROWS, ROWS))


def fit_model(model: Any, inputs: Floats, known: NDArray[Any]) -> None:
    """Fit an estimator; gradient boosting makes no more bins than the columns have values.

    The trees are the same, since each value has a bin either way; what is found sooner is the best split of few bins.
    """
    options = model.get_params()
    if options.get("max_bins") and options["categorical_features"] is None:
        most = max(len(np.unique(column)) for column in inputs.T)
        model.set_params(max_bins=int(np.clip(most, 2, options["max_bins"])))
    model.fit(inputs, known)


def recipes(columns: Columns, rows: int, seed: int) -> tuple[Estimator, ...]:
    """Return the baselines of a task of which ``rows`` are fitted, the simplest first."""
    models = columns.models
    if models is None:
        return ()
    if columns.tokens:
        none = Estimator("gradient boosting", None, NAN, "skipped: texts have no columns of numbers")
        if not models.sparse:
            linear = models.linear(rows, 1, columns.shape.outputs)
            return (models.constant(), linear._replace(model=None, note="skipped: takes too long on texts"), none)
        return (models.constant(), tfidf(models, columns.tokens, rows, columns.shape.outputs), none)
    found = (models.constant(), _linear(models, columns, rows), _boosting(models, columns, rows, seed))
    return (*found, *_of_series(columns, rows, seed))


def _of_series(columns: Columns, rows: int, seed: int) -> tuple[Estimator, ...]:
    """Return what series alone are compared with beside the others."""
    series = columns.shape.find(InputKind.SERIES)
    if series is None or columns.shape.kind not in tuple(TaskKind):
        return ()
    from harness.study.minirocket import NAME, minirocket

    if columns.shape.kind == TaskKind.QUANTILE_REGRESSION:
        return (Estimator(NAME, None, NAN, "skipped: its ridge model predicts a mean, and no quantiles"),)
    whole = columns.numbers == _features(columns.shape)
    return (minirocket(series, rows, seed, whole=whole, classes=bool(problems[columns.shape.kind].classes)),)


def _linear(models: Baselines, columns: Columns, rows: int) -> Estimator:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    found = models.linear(rows, columns.width, columns.shape.outputs)
    if found.model is None:
        return found
    one_hot = OneHotEncoder(max_categories=CATEGORIES, handle_unknown="infrequent_if_exist", sparse_output=False)
    codes = list(range(columns.numbers, columns.numbers + len(columns.cardinalities)))
    inputs = ColumnTransformer(
        [("numbers", StandardScaler(), list(range(columns.numbers))), ("categories", one_hot, codes)]
    )
    return found._replace(model=make_pipeline(inputs, found.model))


def _boosting(models: Baselines, columns: Columns, rows: int, seed: int) -> Estimator:
    name, found = "gradient boosting", models.boosting(columns.shape.outputs)
    if isinstance(found, str):
        return Estimator(name, None, NAN, found)
    model, trees = found
    features = columns.numbers + len(columns.cardinalities)
    # The finding of splits in up to 31 leaves, which few rows do not fill, and the histograms of all rows.
    round_s = trees * features * (5e-5 * min(1.0, rows / 600) + 1.5e-8 * rows)
    rounds = min(ROUNDS, int(_BOOSTING_S / round_s))
    if rounds < LEAST_ROUNDS:
        return Estimator(name, None, NAN, f"skipped: {ROUNDS} rounds would take about {ROUNDS * round_s:.0f} s a fit")
    native = [
        columns.numbers + place for place, count in enumerate(columns.cardinalities) if count <= NATIVE_CATEGORIES
    ]
    estimator = model(max_iter=rounds, categorical_features=native or None, random_state=seed % 2**32)
    note = f"{rounds} rounds, to save time" if rounds < ROUNDS else ""
    return Estimator(name, estimator, 0.1 + 2 * rounds * round_s, note)
