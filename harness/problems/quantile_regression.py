"""Quantile regression: of each sample's number the values that given shares of such numbers lie below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.problems.baselines import Baselines, Estimator
from harness.problems.problem import Criterion, Doubt, LossOptions, Metric, Quality, StackedCriterion, Undefined
from harness.problems.regression import Regression
from harness.records import NAN, Target, TaskShape

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

QUANTILE_METRICS = (
    Metric("pinball", maximize=False, unit="of the target", summed=True),
    Metric("coverage", maximize=True, summed=True, share=True),
    Metric("interval_width", maximize=False, unit="of the target", summed=True),
)
"""What quantiles are measured by, of whatever they are."""
_LINEAR_S = 2.0
"""Seconds that one fit of the linear model may take, of all quantiles together."""
_PROGRAM_S = 2e-8
"""Seconds of a linear program, for a column and the square of its rows."""
_LEAST_ROWS = 100


class _Baselines(Baselines):
    naive = "training quantiles"
    sparse = False

    def __init__(self, levels: Sequence[float] = ()) -> None:
        self._levels = tuple(levels)

    def most_rows(self, width: int, outputs: int) -> float:
        """Return that all rows are fitted; the linear model takes some of them where they are too many."""
        return float("inf")

    def constant(self) -> Estimator:
        """Return the quantiles of the targets."""
        from sklearn.dummy import DummyRegressor

        return Estimator(self.naive, self._each(DummyRegressor(strategy="quantile")), 0.05)

    def linear(self, rows: int, width: int, outputs: int) -> Estimator:
        """Return a linear model for each quantile, each the solution of a linear program, of as many rows as it may."""
        from sklearn.linear_model import QuantileRegressor

        name, row_s = "linear quantile regression", _PROGRAM_S * width * len(self._levels)
        most = int((_LINEAR_S / row_s) ** 0.5)
        if most < min(rows, max(_LEAST_ROWS, 3 * width)):
            return Estimator(name, None, note=f"skipped: {width:,} columns take too long to fit")
        fitted = min(rows, most)
        note = f"fitted on {fitted:,} rows, evenly spaced, to save time" if fitted < rows else ""
        model = self._each(QuantileRegressor(alpha=0.0), fitted)
        return Estimator(name, model, 0.1 + 2 * row_s * fitted**2, note)

    def boosting(self, outputs: int) -> tuple[Callable[..., Any], int] | str:
        """Return gradient boosting with a tree a round for each quantile."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        def model(**options: Any) -> Any:
            return self._each(HistGradientBoostingRegressor(loss="quantile", **options))

        return model, len(self._levels)

    def answers_of(self, estimator: Any, inputs: Floats, outputs: int) -> Floats:
        """Return the quantiles."""
        quantiles: Floats = estimator.predict(inputs)
        return quantiles

    def _each(self, model: Any, rows: int | None = None) -> Any:
        from harness.problems.quantile_models import EachQuantile

        return EachQuantile(model, self._levels, rows)


class QuantileRegression(Regression):
    """Quantiles of a value; answers are ``N x Q``, ascending and less the mean of the targets in training.

    What is computed of quantiles takes their levels, which :meth:`of` takes from the target.

    >>> problem = QuantileRegression().of(Target(quantiles=(0.1, 0.9)))
    >>> problem.lacks("mae")
    'it is of the median, and 0.5 is not among the quantiles'
    """

    name = "quantile-regression"
    metrics = (
        *QUANTILE_METRICS,
        Metric("rmse", maximize=False, unit="of the target", summed=True),
        Metric("mae", maximize=False, unit="of the target", summed=True),
    )
    headline = ("pinball", "coverage", "interval_width")
    objective = "pinball"
    losses = ("pinball",)
    figure = "quantiles"

    def __init__(self, levels: Sequence[float] = ()) -> None:
        self._levels = tuple(levels)
        self.baselines = _Baselines(levels)

    def of(self, target: Target | None) -> QuantileRegression:
        """Return the problem of a target's quantiles."""
        return QuantileRegression(target.quantiles) if target else self

    def lacks(self, metric: str) -> str:
        """Say what has no value of these quantiles."""
        from harness.problems.quantile_scores import undefined

        return undefined(metric, self._levels)

    def outputs_for(self, shape: TaskShape, loss: str) -> int:
        """Return an output for each quantile."""
        self.loss_name(shape, loss)
        return len(shape.quantiles)

    def criterion(
        self,
        shape: TaskShape,
        options: LossOptions,
        *,
        class_counts: Sequence[int] | None,
        device: torch.device,
    ) -> Criterion:
        """Return the pinball loss of a standardised target."""
        from harness.problems.quantiles import Quantiles
        from harness.problems.values import units

        self._checked_loss(shape, options)
        return Quantiles(shape.quantiles, units(shape, device), device)

    def stacked_criterion(
        self,
        shapes: Sequence[TaskShape],
        options: Sequence[LossOptions],
        *,
        class_counts: Sequence[Sequence[int] | None],
    ) -> StackedCriterion:
        """Return pinball losses of a standardised target."""
        import torch

        from harness.problems.stacked import StackedQuantiles
        from harness.problems.values import units

        for shape, each in zip(shapes, options, strict=True):
            self._checked_loss(shape, each)
        scales = torch.stack([torch.as_tensor(units(shape, torch.device("cpu"))) for shape in shapes])
        return StackedQuantiles(shapes[0].quantiles, scales)

    def losses_of(
        self, answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]
    ) -> Floats:
        """Return the pinball loss of each sample in standard units, the mean over the quantiles."""
        from harness.problems.quantile_scores import pinballs

        losses: Floats = pinballs(targets, answers, self._levels) / (scale[0] or 1.0)
        return losses

    def quality(self, shape: TaskShape, device: torch.device) -> Quality:
        """Return empty sums."""
        from harness.problems.quantiles import QuantileErrors

        return QuantileErrors(shape.quantiles, device)

    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric of quantiles, or of their median."""
        from harness.problems.quantile_scores import METRICS

        if why := self.lacks(metric):
            raise Undefined(why)
        if metric in METRICS:
            return float(METRICS[metric](targets, answers, self._levels).mean())
        return super().score(metric, targets, self._middle(answers))

    def standard_error(
        self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int
    ) -> float | None:
        """Return the standard error of a mean over samples, or of what is known of the median."""
        from harness.problems.quantile_scores import METRICS
        from harness.statistics import mean_error

        if metric in METRICS:
            return mean_error(METRICS[metric](targets, answers, self._levels))
        return super().standard_error(metric, targets, self._middle(answers), seed)

    def skill(self, training: Mapping[str, float], class_counts: Sequence[int] | None) -> tuple[float, str]:
        """Return that it is not known: what the quantiles of the training targets cost is in no sum."""
        return NAN, ""

    def averaged(self, outputs: Tensor) -> Tensor:
        """Return the mean of each quantile: of outputs that were put in order, so that it is of one level."""
        from harness.problems.quantiles import in_order

        return in_order(outputs).mean(dim=0)

    def columns(self, answers: NDArray[np.floating], names: Sequence[str]) -> dict[str, Any]:
        """Return the median, or the quantile next to it, and all quantiles."""
        from harness.problems.quantile_scores import quantile_columns

        return {"predicted": self._middle(answers), **quantile_columns(answers, self._levels)}

    def interval(self, targets: NDArray[Any], predicted: NDArray[Any]) -> None:
        """Return none: what is predicted as a number is one of the quantiles, and no mean."""

    def test_losses(self, predictions: pd.DataFrame) -> Floats | None:
        """Return the pinball loss of each sample."""
        import numpy as np

        from harness.problems.quantile_scores import levels_in, pinballs, quantile_columns

        levels = levels_in(predictions.columns)
        if not levels:
            return None
        names = list(quantile_columns(np.empty((0, len(levels))), levels))
        return pinballs(predictions["target"].to_numpy(np.float64), predictions[names].to_numpy(np.float64), levels)

    def mistakes(self, targets: NDArray[Any], answers: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return all samples, the largest pinball loss first."""
        import numpy as np

        losses = self.losses_of(answers, targets, loss="pinball", scale=(1.0,))
        return np.argsort(-losses, kind="stable").astype(np.int64)

    def doubts(
        self, test: Mapping[str, float], naive: Mapping[str, float], stats: Mapping[str, Any]
    ) -> Iterator[Doubt]:
        """Compare the pinball loss with that of the quantiles of the training targets."""
        if test["pinball"] >= naive["pinball"]:
            yield Doubt("pinball", test["pinball"], "the quantiles of the training targets have", naive["pinball"])

    def _middle(self, answers: NDArray[np.floating]) -> NDArray[np.floating]:
        from harness.problems.quantile_scores import middle_of

        return answers[:, middle_of(self._levels)]
