"""Baselines: what scikit-learn reaches with its defaults on the same samples as the winner, in a few seconds.

Each is fitted on the training part and scored on validation, then fitted on both and scored on the test samples that
were opened for the winner. They decide nothing, and nothing that happens to them ends a search.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data import Part, TrainingData, derive_seed
from harness.errors import HardwareError, first_line
from harness.problems import LOSS, Estimator, problem_of
from harness.problems.scoring import Scorer
from harness.records import NAN
from harness.spec import Spec
from harness.study.baseline_models import Columns, Floats, fit_model, fitting_rows, recipes
from harness.study.stop import Stop

FAILURES = (ValueError, ArithmeticError, RuntimeError, MemoryError, HardwareError)
"""What scikit-learn raises for data that it cannot fit, and what an optional package that cannot be imported does."""

_SHARE = 0.05
"""Most of the time of a run that is kept for baselines."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one baseline reached; its metrics are NaN where ``note`` says why."""

    name: str
    validation: dict[str, float]
    test: dict[str, float] | None
    seconds: float
    """Of both fits and their scoring."""
    rows: int
    """Training samples that it was fitted on before it was scored on validation."""
    note: str
    """What was reduced, skipped, failed or warned of."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``stats.json``."""
        return asdict(self)


@dataclass(frozen=True)
class Scene:
    """The samples that baselines are fitted and scored on."""

    search: TrainingData
    """What the trials saw."""
    final: TrainingData
    """What the final model was made from."""
    test: Part
    """The test samples as they were opened for the winner."""
    scorer: Scorer
    """What measures whatever is measured of the winner."""


def run_baselines(scene: Scene, seed: int, stop: Stop) -> list[Baseline]:
    """Return a row for each baseline of the task, those that were skipped or failed included."""
    return list(_rows(scene, derive_seed(seed, "baselines"), stop))


def seconds_aside(spec: Spec, dataset: TrainingData) -> float:
    """Return how much of the time of a run to keep for its baselines; 0 where it has no end."""
    if not spec.search.baselines or spec.budget.time is None:
        return 0.0
    seed = derive_seed(spec.search.seed, "baselines")
    columns = Columns.of(dataset.shape, seed)
    rows = min(fitting_rows(columns), len(dataset.train) + len(dataset.validation))
    needed = sum(recipe.seconds for recipe in recipes(columns, rows, seed) if recipe.model is not None)
    return min(needed, _SHARE * spec.budget.time)


def _rows(scene: Scene, seed: int, stop: Stop) -> Iterator[Baseline]:
    # The final data may know more categories than that of the search, and columns that vary only there.
    searched, final = (Columns.of(data.shape, seed) for data in (scene.search, scene.final))
    most = fitting_rows(final)
    count = min(most, len(scene.search.train) + len(scene.search.validation))
    for first, second in zip(recipes(searched, count, seed), recipes(final, count, seed), strict=True):
        reason = why_not(second, stop)
        if reason:
            yield Baseline(second.name, nothing(scene), None, NAN, 0, reason)
        else:
            yield _scored((first, searched), (second, final), scene, most, seed, stop)


def why_not(recipe: Estimator, stop: Stop) -> str:
    """Return why a baseline is not fitted, such as that there is no time left for it; "" where it is."""
    left_s = stop.deadline - time.monotonic()
    if stop.signal:
        return "skipped: the run was asked to stop"
    if recipe.model is None:
        return recipe.note
    if recipe.seconds > left_s:
        return f"skipped: takes about {recipe.seconds:.1f} s, of the run's time {max(0.0, left_s):.1f} s are left"
    return ""


def nothing(scene: Scene) -> dict[str, float]:
    """Return every metric without a value."""
    return dict.fromkeys((LOSS, *scene.scorer.names, *scene.scorer.own), NAN)


def _scored(
    first: tuple[Estimator, Columns], second: tuple[Estimator, Columns], scene: Scene, most: int, seed: int, stop: Stop
) -> Baseline:
    """Fit and score on the data of the search and on the final data; what goes wrong, or is warned of, is noted."""
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    validation, test, rows = nothing(scene), None, 0
    search, final = scene.search, scene.final
    recipe, columns = first
    notes = [second[0].note, second[1].note]
    # One thread: on a machine that does other work too, two of them wait for each other at every split.
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
        warnings.simplefilter("always")
        try:
            inputs, known = drawn(columns, (search.train,), most, seed)
            rows = len(known)
            if rows < len(search.train):
                notes.append(f"fitted on {rows:,} of {len(search.train):,} rows, drawn from the seed")
            fit_model(recipe.model, inputs, known)
            validation = _measured(recipe, columns, search, search.validation, scene.scorer)
            if stop.signal:
                notes.append("not scored on the test samples: the run was asked to stop")
            else:
                recipe, columns = second
                fit_model(recipe.model, *drawn(columns, (final.train, final.validation), most, seed))
                test = _measured(recipe, columns, final, scene.test, scene.scorer)
        except FAILURES as error:
            notes.append(f"failed: {first_line(error)}")
    notes += [f"{warning.category.__name__}: {first_line(warning.message)}" for warning in caught]
    note = "; ".join(dict.fromkeys(filter(None, notes)))
    return Baseline(recipe.name, validation, test, time.perf_counter() - started, rows, note)


def drawn(columns: Columns, parts: Sequence[Part], most: int, seed: int) -> tuple[Floats, np.ndarray]:
    """Return inputs and targets of all samples of some parts, or of as many as may be fitted, drawn from the seed."""
    own = drawn_rows(parts, most, seed)
    inputs = [columns.inputs(part, chosen) for part, chosen in zip(parts, own, strict=True)]
    known = [part.targets[chosen] for part, chosen in zip(parts, own, strict=True)]
    return np.concatenate(inputs), np.concatenate(known)


def drawn_rows(parts: Sequence[Part], most: int, seed: int) -> list[NDArray[np.int64]]:
    """Return of each part the places of its samples, or of as many of all parts together as may be looked at."""
    ends = np.cumsum([0, *map(len, parts)])
    rows = np.arange(ends[-1])
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    return [rows[(rows >= start) & (rows < end)] - start for start, end in pairwise(ends)]


def _measured(
    recipe: Estimator, columns: Columns, dataset: TrainingData, part: Part, scorer: Scorer
) -> dict[str, float]:
    """Return the plain loss and all other metrics of a fitted model."""
    shape = dataset.shape
    problem, models = problem_of(shape), columns.models
    assert models is not None, "there is a model of it"
    answers = models.answers_of(recipe.model, columns.inputs(part), shape.outputs)
    loss = problem.losses_of(answers, part.targets, loss=problem.losses[0], scale=shape.scale).mean()
    return {LOSS: float(loss), **scorer.measure(part.truth, problem.own_units(answers, shape)).values}
