"""What the baselines are: the columns that they see, scikit-learn's estimators, and what fitting them costs.

What the estimators cost was measured on one thread of an EPYC core and decides how many rows and rounds they get, so
that the choice is the same on every machine. scikit-learn is imported on use alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from harness.data import Part
from harness.records import NAN, InputKind, TaskKind, TaskShape

Floats = NDArray[np.float64]

ROWS = 20_000
"""Most rows that a baseline is fitted on."""
LEAST_ROWS = 1_000
COLUMNS = 2_000
"""Most numeric columns of a table."""
PIXELS = 256
"""Most values of an image, which is average-pooled down to them."""
CATEGORIES = 20
"""Most columns that one category becomes for the linear model; the rarer categories share one."""
NATIVE_CATEGORIES = 255
"""Categories that gradient boosting can split by as such; a column with more is taken as numbers."""
ROUNDS = 100
"""scikit-learn's default of gradient boosting."""
LEAST_ROUNDS = 20
MOST_CLASSES = 50

_LINEAR_WORK = 4e7
"""Rows x columns x outputs that a linear model is fitted on: under 3 s for 100 iterations of L-BFGS."""
_SQUARE_WORK = 1e10
"""Rows x columns² of a ridge regression: about 1 s."""
_BOOSTING_S = 2.0
"""Seconds that one fit of gradient boosting may take; on digits that is some 40 rounds."""
_CHUNK = 1024


@dataclass(frozen=True)
class Columns:
    """Turns the inputs of a task into float64 columns: numbers first, then the codes of categories."""

    shape: TaskShape
    chosen: NDArray[np.int64]
    """The numeric columns that are used of a table."""

    @classmethod
    def of(cls, shape: TaskShape, seed: int) -> Columns:
        """Return the columns of a task, drawn from ``seed`` where a table has too many numeric ones."""
        rng = np.random.default_rng(seed)
        features = _features(shape)
        few = features <= COLUMNS
        chosen = np.arange(features) if few else np.sort(rng.choice(features, COLUMNS, replace=False))
        return cls(shape, chosen)

    @property
    def image(self) -> tuple[int, ...]:
        """Channels, height and width of images; empty for a table."""
        found = self.shape.find(InputKind.IMAGE)
        return found.sizes if found else ()

    @property
    def pool(self) -> int:
        """Side of the squares of pixels that become one value; 1: every pixel is one."""
        if not self.image:
            return 1
        channels, height, width = self.image
        side = 1
        while channels * -(-height // side) * -(-width // side) > max(PIXELS, channels):
            side += 1
        return side

    @property
    def numbers(self) -> int:
        """How many columns hold numbers."""
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
        """How many columns the linear model sees, categories one-hot."""
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
            return self._pooled(arrays[0])
        return np.column_stack([arrays[0][:, self.chosen], *arrays[1:]]).astype(np.float64)

    def _pooled(self, images_NCHW: np.ndarray) -> Floats:
        flat = np.empty((len(images_NCHW), self.numbers))
        for start in range(0, len(images_NCHW), _CHUNK):
            chunk = torch.from_numpy(images_NCHW[start : start + _CHUNK]).float()
            pooled = F.avg_pool2d(chunk, self.pool, ceil_mode=True)
            flat[start : start + _CHUNK] = pooled.flatten(1).numpy()
        return flat


def _features(shape: TaskShape) -> int:
    numeric = shape.find(InputKind.NUMERIC)
    return numeric.sizes[0] if numeric else 0


def targets(part: Part) -> np.ndarray:
    """Return class codes, or values in their own units less their mean in training, which no score depends on."""
    return part.targets


@dataclass(frozen=True)
class Recipe:
    """One baseline before it is fitted."""

    name: str
    estimator: Any
    """scikit-learn's; None when it is not to be fitted."""
    seconds: float
    """About what its two fits take."""
    note: str = ""
    """What was reduced, or why it is not fitted."""


def fitting_rows(columns: Columns, kind: TaskKind, outputs: int) -> int:
    """Return the most rows to fit on."""
    width = max(1, columns.width)
    fitting = _LINEAR_WORK / (width * outputs) if kind is TaskKind.CLASSIFICATION else _SQUARE_WORK / width**2
    return int(np.clip(fitting, LEAST_ROWS, ROWS))


def recipes(columns: Columns, rows: int, seed: int) -> tuple[Recipe, ...]:
    """Return the baselines of a task of which ``rows`` are fitted, the simplest first."""
    kind, outputs = columns.shape.kind, columns.shape.outputs
    return (_constant(kind), _linear(columns, rows, kind, outputs), _boosting(columns, rows, kind, outputs, seed))


def _constant(kind: TaskKind) -> Recipe:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if kind is TaskKind.CLASSIFICATION:
        return Recipe("class prior", DummyClassifier(strategy="prior"), 0.05)
    return Recipe("mean", DummyRegressor(), 0.05)


def _linear(columns: Columns, rows: int, kind: TaskKind, outputs: int) -> Recipe:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    one_hot = OneHotEncoder(max_categories=CATEGORIES, handle_unknown="infrequent_if_exist", sparse_output=False)
    codes = list(range(columns.numbers, columns.numbers + len(columns.cardinalities)))
    inputs = ColumnTransformer(
        [("numbers", StandardScaler(), list(range(columns.numbers))), ("categories", one_hot, codes)]
    )
    if kind is TaskKind.REGRESSION:
        seconds = 0.1 + 2e-10 * rows * columns.width**2
        return Recipe("ridge regression", make_pipeline(inputs, RidgeCV(alphas=np.logspace(-2, 4, 7))), seconds)
    work = rows * columns.width * outputs
    if work > _LINEAR_WORK:
        return Recipe("logistic regression", None, NAN, f"skipped: {outputs:,} classes take too long to fit")
    return Recipe("logistic regression", make_pipeline(inputs, LogisticRegression()), 0.1 + 1.5e-7 * work)


def _boosting(columns: Columns, rows: int, kind: TaskKind, outputs: int, seed: int) -> Recipe:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.multioutput import MultiOutputRegressor

    name = "gradient boosting"
    if kind is TaskKind.CLASSIFICATION and outputs > MOST_CLASSES:
        return Recipe(name, None, NAN, f"skipped: {outputs:,} classes, at most {MOST_CLASSES} are fitted")
    trees = 1 if kind is TaskKind.CLASSIFICATION and outputs == 2 else outputs
    features = columns.numbers + len(columns.cardinalities)
    # The finding of splits in up to 31 leaves, which few rows do not fill, and the histograms of all rows.
    round_s = trees * features * (5e-5 * min(1.0, rows / 600) + 1.5e-8 * rows)
    rounds = min(ROUNDS, int(_BOOSTING_S / round_s))
    if rounds < LEAST_ROUNDS:
        return Recipe(name, None, NAN, f"skipped: {ROUNDS} rounds would take about {ROUNDS * round_s:.0f} s a fit")
    native = [
        columns.numbers + place for place, count in enumerate(columns.cardinalities) if count <= NATIVE_CATEGORIES
    ]
    model = HistGradientBoostingClassifier if kind is TaskKind.CLASSIFICATION else HistGradientBoostingRegressor
    estimator: Any = model(max_iter=rounds, categorical_features=native or None, random_state=seed % 2**32)
    if kind is TaskKind.REGRESSION and outputs > 1:
        estimator = MultiOutputRegressor(estimator)
    note = f"{rounds} rounds, to save time" if rounds < ROUNDS else ""
    return Recipe(name, estimator, 0.1 + 2 * rounds * round_s, note)


def probabilities(estimator: Any, inputs: Floats, classes: int) -> Floats:
    """Return the probability of each class, 0 for one without samples to fit."""
    table = np.zeros((len(inputs), classes))
    table[:, estimator.classes_] = estimator.predict_proba(inputs)
    return table


def metrics(estimator: Any, inputs: Floats, known: np.ndarray, shape: TaskShape) -> dict[str, float]:
    """Return the problem's metrics as scikit-learn computes them."""
    if shape.kind is TaskKind.CLASSIFICATION:
        return _label_metrics(known, probabilities(estimator, inputs, shape.outputs), range(shape.outputs))
    return _value_metrics(known, estimator.predict(inputs), shape.scale)


def _label_metrics(known: np.ndarray, chances: Floats, labels: Sequence[int]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

    predicted = chances.argmax(axis=1)
    return {
        "loss": float(log_loss(known, chances, labels=list(labels))),
        "accuracy": float(accuracy_score(known, predicted)),
        "f1_macro": float(f1_score(known, predicted, average="macro", zero_division=0.0)),
        "f1_weighted": float(f1_score(known, predicted, average="weighted", zero_division=0.0)),
        "precision_macro": float(precision_score(known, predicted, average="macro", zero_division=0.0)),
        "recall_macro": float(recall_score(known, predicted, average="macro", zero_division=0.0)),
    }


def _value_metrics(known: np.ndarray, predicted: Floats, scale: Sequence[float]) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    squared_V = np.atleast_1d(mean_squared_error(known, predicted, multioutput="raw_values"))
    return {
        "loss": float((squared_V / np.square(scale)).mean()),
        "rmse": float(np.sqrt(squared_V).mean()),
        "mae": float(mean_absolute_error(known, predicted)),
        "r2": float(r2_score(known, predicted)) if len(known) > 1 else NAN,
    }
