"""Forecasting: each sample is a stretch of a series, and its target the values that follow.

A target has the next values in their own units, one a step of the horizon, and behind them one more number: the mean
absolute error of the seasonal naive forecast on the part of the series that is learnt from. It is what errors are
divided by to become MASE (Hyndman and Koehler, 2006), and the unit in which losses are measured, so that series of any
size count alike. Of logarithms, which have no size, losses are measured in the standard unit of all series: the scale
of that last number is 0 then, and 1 otherwise.

With quantiles the answers are those of each value, ascending, and the median is what the other metrics take.

Shape legend: N samples, B batch, H steps ahead, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.problems.problem import Criterion, Doubt, LossOptions, Metric, Problem, Quality
from harness.problems.quantile_regression import QUANTILE_METRICS
from harness.records import Target, TaskShape

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

NAIVE = "naive_error"
"""The column of predictions with the last number of a target."""
SEASONAL = "seasonal naive"
"""The baseline that a forecast must be better than."""


class Forecasting(Problem):
    """Values that follow."""

    name = "forecasting"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mase", maximize=False, summed=True),
        Metric("smape", maximize=False, summed=True),
        Metric("rmse", maximize=False, unit="of the target", summed=True),
        Metric("mae", maximize=False, unit="of the target", summed=True),
    )
    headline: ClassVar[tuple[str, ...]] = ("mase", "smape", "rmse")
    objective = "mase"
    losses: ClassVar[tuple[str, ...]] = ("mae", "mse", "huber")
    figure = "forecast"
    naive = SEASONAL
    continues = True
    intervals = False
    beside = (NAIVE,)

    def outputs_for(self, shape: TaskShape, loss: str) -> int:
        """Return an output for each step, or for each quantile of each step."""
        self.loss_name(shape, loss)
        target = target_of(shape)
        return horizon_of(target) * max(1, len(target.quantiles))

    def criterion(
        self,
        shape: TaskShape,
        options: LossOptions,
        *,
        class_counts: Sequence[int] | None,
        device: torch.device,
    ) -> Criterion:
        """Return the absolute, the squared or the Huber loss, or of quantiles the pinball loss."""
        from harness.problems.forecasts import Forecasts

        self.check_no_classes(options)
        return Forecasts(self.loss_name(shape, options.loss), target_of(shape), device)

    def losses_of(
        self, answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]
    ) -> Floats:
        """Return the loss of each sample."""
        from harness.problems.forecast_scores import losses

        return losses(answers, targets, loss=loss, scale=scale)

    def learned(self, targets: NDArray[Any], target: Target) -> Floats:
        """Return the values, or their logarithms, less their mean; the number behind them stays."""
        import numpy as np

        found = targets.astype(np.float64)
        if target.log:
            found[:, :-1] = np.log(found[:, :-1])
        found[:, :-1] -= np.array(target.centre[:-1])
        return found

    def own_units(self, answers: NDArray[np.floating], shape: TaskShape) -> NDArray[np.floating]:
        """Return answers with their mean put back, out of their logarithms."""
        import numpy as np

        target = target_of(shape)
        centre = np.array(target.centre[:-1]).reshape(-1, *(1,) * (answers.ndim - 2))
        values: Floats = answers.astype(np.float64) + centre
        return np.exp(values) if target.log else values

    def quality(self, shape: TaskShape, device: torch.device) -> Quality:
        """Return empty sums of errors."""
        from harness.problems.forecasts import ForecastErrors

        return ForecastErrors(target_of(shape), device)

    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric of all samples of a part."""
        from harness.problems.forecast_scores import score

        return score(metric, targets, answers)

    def standard_error(
        self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int
    ) -> float | None:
        """Return the standard error of what is a mean over samples, as if these did not overlap."""
        from harness.problems.forecast_scores import standard_error

        return standard_error(metric, targets, answers)

    def averaged(self, outputs: Tensor) -> Tensor:
        """Return the mean of values, or of each quantile."""
        return outputs.mean(dim=0)

    def target_columns(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Return a column for each step, and one for the number behind them."""
        steps = {f"target_{name}": targets[:, place] for place, name in enumerate(names[:-1])}
        return {**steps, NAIVE: targets[:, -1]}

    def columns(self, answers: NDArray[np.floating], names: Sequence[str]) -> dict[str, Any]:
        """Return a column for each step."""
        return {f"predicted_{name}": answers[:, place] for place, name in enumerate(names[:-1])}

    def doubts(
        self, test: Mapping[str, float], naive: Mapping[str, float], stats: Mapping[str, Any]
    ) -> Iterator[Doubt]:
        """Compare MASE with that of the seasonal naive forecast."""
        if test["mase"] >= naive["mase"]:
            yield Doubt("MASE", test["mase"], "the season before, said once more, has", naive["mase"])


class QuantileForecasting(Forecasting):
    """Quantiles of the values that follow."""

    name = "quantile-forecasting"
    metrics = (*Forecasting.metrics, *QUANTILE_METRICS)
    headline = ("mase", "pinball", "coverage")
    losses = ("pinball",)
    unchecked = ("loss", *(metric.name for metric in QUANTILE_METRICS))

    def __init__(self, levels: Sequence[float] = ()) -> None:
        self._levels = tuple(levels)

    def of(self, target: Target | None) -> QuantileForecasting:
        """Return the problem of a target's quantiles."""
        return QuantileForecasting(target.quantiles) if target else self

    def losses_of(
        self, answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]
    ) -> Floats:
        """Return the pinball loss of each sample; of values alone as if they were all quantiles."""
        from harness.problems.forecast_scores import losses

        return losses(answers, targets, loss=loss, scale=scale, levels=self._levels)

    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric of all samples of a part."""
        from harness.problems.forecast_scores import score

        return score(metric, targets, answers, self._levels)

    def standard_error(
        self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int
    ) -> float | None:
        """Return the standard error of what is a mean over samples, as if these did not overlap."""
        from harness.problems.forecast_scores import standard_error

        return standard_error(metric, targets, answers, self._levels)

    def columns(self, answers: NDArray[np.floating], names: Sequence[str]) -> dict[str, Any]:
        """Return a column for the median of each step, and those of its lowest and highest quantile."""
        from harness.problems.forecast_scores import middle

        steps = names[:-1]
        ends = {
            f"{end}_{name}": answers[:, place, q]
            for end, q in (("low", 0), ("high", -1))
            for place, name in enumerate(steps)
        }
        return {**super().columns(middle(answers), names), **ends}


def target_of(shape: TaskShape) -> Target:
    """Return what is predicted of a series."""
    assert shape.target is not None, "there is something to predict"
    return shape.target


def horizon_of(target: Target) -> int:
    """Return how many steps are predicted: all numbers of a target but the last one."""
    return target.shape[0] - 1
