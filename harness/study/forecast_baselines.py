"""What forecasts without a network reach: naive ones, and exponential smoothing where statsmodels is installed.

Each is made for the same samples as the winner's, from all that is known of the series before them. They decide
nothing, and nothing that happens to them ends a search.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from harness.data import Dataset, Part
from harness.data.windows import Windows
from harness.errors import first_line
from harness.extras import load_extra
from harness.problems import LOSS, Estimator, problems
from harness.problems.forecasting import SEASONAL
from harness.records import NAN
from harness.study.baselines import FAILURES, Baseline, Scene, nothing, why_not
from harness.study.stop import Stop

Floats = NDArray[np.float64]
Forecast = Callable[[Floats, int, int], Floats]
"""Takes a history, the steps of a season and those to say; returns these."""

_MOST_FITS = 200
"""Samples that exponential smoothing is fitted to, about a second for each five of them."""
_FIT_S = 0.5


def run_forecasts(scene: Scene, dataset: Dataset, stop: Stop) -> Iterator[Baseline]:
    """Yield a row for each forecast of a task's series, those that were skipped or failed included; none of others."""
    if not problems[dataset.shape.kind].continues:
        return
    places = np.arange(len(scene.test))
    parts = [(dataset.raw_validation(), dataset.validation), (dataset.raw_test(places), scene.test)]
    for name, forecast in FORECASTS.items():
        yield _row(name, forecast, parts, scene, stop)


def _row(name: str, forecast: Forecast, parts: list[tuple[Windows, Part]], scene: Scene, stop: Stop) -> Baseline:
    started = time.perf_counter()
    recipe = _recipe(name, forecast, sum(len(windows) for windows, _ in parts))
    if reason := why_not(recipe, stop):
        return Baseline(name, nothing(scene), None, NAN, 0, reason)
    notes: list[str] = []
    scores = [nothing(scene), None]
    # One thread would do; what is warned of is told once.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            scores = [_measured(forecast, windows, part, scene) for windows, part in parts]
        except FAILURES as error:
            notes.append(f"failed: {first_line(error)}")
    notes += [f"{warning.category.__name__}: {first_line(warning.message)}" for warning in caught]
    validation, test = scores
    assert validation is not None
    seconds = time.perf_counter() - started
    return Baseline(name, validation, test, seconds, len(scene.search.train), "; ".join(dict.fromkeys(notes)))


def _recipe(name: str, forecast: Forecast, fits: int) -> Estimator:
    """Return a forecast with the seconds that it takes, where these matter."""
    if name != SMOOTHING:
        return Estimator(name, forecast)
    if fits > _MOST_FITS:
        note = f"skipped: it is fitted to each of {fits:,} samples anew, and to {_MOST_FITS} at most"
        return Estimator(name, None, note=note)
    return Estimator(name, forecast, fits * _FIT_S)


def _measured(forecast: Forecast, windows: Windows, part: Part, scene: Scene) -> dict[str, float]:
    """Return the plain loss and all other metrics of a forecast."""
    layout, shape = windows.layout, scene.final.shape
    answers = np.array(
        [forecast(windows.history(row), layout.season, layout.horizon) for row in range(len(windows))]
    ).reshape(len(windows), layout.horizon)
    assert shape.target is not None
    problem = problems[shape.kind]
    said = np.column_stack([answers, part.truth[:, -1]])
    learned = [problem.learned(each, shape.target) for each in (said, part.truth)]
    loss = problem.losses_of(learned[0][:, :-1], learned[1], loss=problem.losses[0], scale=shape.scale).mean()
    return {LOSS: float(loss), **scene.scorer.measure(part.truth, answers).values}


def _naive(history: Floats, _season: int, horizon: int) -> Floats:
    """Return the last value, again and again."""
    return np.full(horizon, history[-1])


def _seasonal(history: Floats, season: int, horizon: int) -> Floats:
    """Return the last season, again and again."""
    season = min(season, len(history))
    return np.resize(history[-season:], horizon)


def _growing(history: Floats, season: int, horizon: int) -> Floats:
    """Return the last season times its growth over the season before, once more for each season ahead."""
    if len(history) < 2 * season or history[-2 * season : -season].sum() == 0.0:
        return _seasonal(history, season, horizon)
    growth = history[-season:].sum() / history[-2 * season : -season].sum()
    seasons = 1.0 + np.arange(horizon) // season
    grown: Floats = _seasonal(history, season, horizon) * growth**seasons
    return grown


def _smoothed(history: Floats, season: int, horizon: int) -> Floats:
    """Return Holt's linear forecast, with the season of Winters (1960) where two of them are known.

    The season is a factor where all values are above 0, else added.
    """
    module = load_extra("statsmodels.tsa.holtwinters", extra="forecast", use="exponential smoothing")
    seasonal = None
    if 1 < season <= len(history) // 2:
        seasonal = "mul" if (history > 0).all() else "add"
    model = module.ExponentialSmoothing(
        history, trend="add", seasonal=seasonal, seasonal_periods=season if seasonal else None
    )
    found: Floats = np.asarray(model.fit().forecast(horizon), np.float64)
    return found


SMOOTHING = "exponential smoothing"
FORECASTS: Mapping[str, Forecast] = {
    "naive": _naive,
    SEASONAL: _seasonal,
    "seasonal naive with growth": _growing,
    SMOOTHING: _smoothed,
}
