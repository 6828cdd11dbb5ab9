"""Regression: each sample has a number, or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.problems.baselines import Baselines, Estimator
from harness.problems.problem import (
    Criterion,
    Doubt,
    Interval,
    LossOptions,
    Metric,
    Problem,
    Quality,
    StackedCriterion,
)
from harness.records import NAN, TaskShape

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

SQUARE_WORK = 1e10
"""Rows x columns² that a ridge regression is fitted on: about 1 s."""


class _Baselines(Baselines):
    naive = "mean"

    def most_rows(self, width: int, outputs: int) -> float:
        """Return how many rows a ridge regression is fitted on."""
        return SQUARE_WORK / width**2

    def constant(self) -> Estimator:
        """Return the mean."""
        from sklearn.dummy import DummyRegressor

        return Estimator(self.naive, DummyRegressor(), 0.05)

    def linear(self, rows: int, width: int, outputs: int) -> Estimator:
        """Return a ridge regression."""
        from sklearn.linear_model import RidgeCV

        alphas = [10.0**power for power in range(-2, 5)]
        return Estimator("ridge regression", RidgeCV(alphas=alphas), 0.1 + 2e-10 * rows * width**2)

    def boosting(self, outputs: int) -> tuple[Callable[..., Any], int] | str:
        """Return gradient boosting with a tree a round for each value."""
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.multioutput import MultiOutputRegressor

        if outputs == 1:
            return HistGradientBoostingRegressor, 1
        return lambda **options: MultiOutputRegressor(HistGradientBoostingRegressor(**options)), outputs

    def answers_of(self, estimator: Any, inputs: Floats, outputs: int) -> Floats:
        """Return the values."""
        values: Floats = estimator.predict(inputs)
        return values


class Regression(Problem):
    """Values; the targets that are trained on are less their mean in training, answers are so too."""

    name = "regression"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("rmse", maximize=False, unit="of the target", summed=True),
        Metric("mae", maximize=False, unit="of the target", summed=True),
        Metric("r2", maximize=True, summed=True),
        Metric("median_absolute_error", maximize=False, unit="of the target"),
        Metric("mape", maximize=False),
        Metric("pinball_50", maximize=False, unit="of the target"),
        Metric("pinball_90", maximize=False, unit="of the target"),
        Metric("explained_variance", maximize=True),
    )
    headline = ("rmse", "mae", "r2")
    objective = "rmse"
    losses: ClassVar[tuple[str, ...]] = ("mse", "huber")
    stackable = True
    baselines: Baselines | None = _Baselines()
    figure = "predicted_against_actual"

    def criterion(
        self,
        shape: TaskShape,
        options: LossOptions,
        *,
        class_counts: Sequence[int] | None,
        device: torch.device,
    ) -> Criterion:
        """Return the squared or the Huber loss of standardised targets."""
        import torch.nn.functional as F

        from harness.problems.values import Values, units

        name = self._checked_loss(shape, options)
        return Values(F.mse_loss if name == "mse" else F.huber_loss, units(shape, device))

    def stacked_criterion(
        self,
        shapes: Sequence[TaskShape],
        options: Sequence[LossOptions],
        *,
        class_counts: Sequence[Sequence[int] | None],
    ) -> StackedCriterion:
        """Return squared or Huber losses of standardised targets."""
        import torch

        from harness.problems.stacked import StackedValues
        from harness.problems.values import units

        (name,) = {self._checked_loss(shape, each) for shape, each in zip(shapes, options, strict=True)}
        scales = torch.stack([torch.as_tensor(units(shape, torch.device("cpu"))) for shape in shapes])
        return StackedValues(huber=name == "huber", scales=scales)

    def _checked_loss(self, shape: TaskShape, options: LossOptions) -> str:
        self.check_no_classes(options)
        return self.loss_name(shape, options.loss)

    def losses_of(
        self, answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]
    ) -> Floats:
        """Return the squared or the Huber loss of each sample in standard units."""
        from harness.problems.value_errors import losses

        return losses(answers, targets, loss=loss, scale=scale)

    def own_units(self, answers: NDArray[np.floating], shape: TaskShape) -> NDArray[np.floating]:
        """Return the answers with the means of the training targets put back, in float64."""
        import numpy as np

        assert shape.target is not None
        values: Floats = answers.astype(np.float64) + np.reshape(shape.target.centre, shape.target.shape)
        return values

    def quality(self, shape: TaskShape, device: torch.device) -> Quality:
        """Return empty sums of errors."""
        from harness.problems.values import Residuals

        return Residuals(device)

    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric as scikit-learn has it."""
        from harness.problems.value_scores import score

        return score(metric, targets, answers)

    def standard_error(
        self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int
    ) -> float | None:
        """Return the standard error of what follows from sums."""
        from harness.problems.value_errors import standard_error

        return standard_error(metric, targets, answers, seed)

    def skill(self, training: Mapping[str, float], class_counts: Sequence[int] | None) -> tuple[float, str]:
        """Return R², of which the mean has none."""
        return training["r2"], f"r2 {training['r2']:.3g} where the mean has 0"

    def averaged(self, outputs: Tensor) -> Tensor:
        """Return the mean values."""
        return outputs.mean(dim=0)

    def columns(self, answers: NDArray[np.floating], names: Sequence[str]) -> dict[str, Any]:
        """Return the values."""
        return value_columns("predicted", answers, names)

    def interval(self, targets: NDArray[Any], predicted: NDArray[Any]) -> Interval | None:
        """Return an interval of the RMSE: of the mean squared error by the central limit theorem."""
        import numpy as np

        squared = np.square((predicted - targets).astype(np.float64))
        mean, half = float(squared.mean()), NAN
        if len(squared) > 1:
            half = 1.959964 * float(squared.std(ddof=1)) / math.sqrt(len(squared))
        low = math.sqrt(max(mean - half, 0.0)) if half == half else NAN
        return Interval("rmse", low, math.sqrt(mean + half), "central limit theorem")

    def test_losses(self, predictions: pd.DataFrame) -> Floats | None:
        """Return the squared error of each sample; None of several values, each in units of its own."""
        import numpy as np

        if "target" not in predictions:
            return None
        losses: Floats = np.square((predictions["predicted"] - predictions["target"]).to_numpy(np.float64))
        return losses

    def mistakes(self, targets: NDArray[Any], answers: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return all samples, the largest error first; none of several values, each in units of its own."""
        import numpy as np

        if targets.ndim > 1:
            return np.empty(0, np.int64)
        return np.argsort(-np.abs(answers - targets), kind="stable").astype(np.int64)

    def doubts(
        self, test: Mapping[str, float], naive: Mapping[str, float], stats: Mapping[str, Any]
    ) -> Iterator[Doubt]:
        """Compare R² with that of the mean."""
        if test["r2"] <= 0:
            yield Doubt("R²", test["r2"], "the mean of the test values predicts them as well")


def value_columns(what: str, values: NDArray[Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return ``what``, or a column ``what_NAME`` for each of several values."""
    if values.ndim == 1:
        return {what: values}
    return {f"{what}_{name}": values[:, place] for place, name in enumerate(names)}
