"""Baselines: what scikit-learn reaches with its defaults on the same samples as the winner, in a few seconds.

Each is fitted on the training part and scored on validation, then fitted on both and scored on the test samples that
were opened for the winner. They decide nothing, and nothing that happens to them ends a search.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data import Part, TrainingData, derive_seed
from harness.errors import HardwareError, first_line
from harness.problems import LOSS, Estimator, problem_of
from harness.problems.scoring import Scorer
from harness.records import MIB, NAN
from harness.spec import Spec
from harness.study.baseline_models import Columns, Floats, fit_model, fitting_rows, recipes
from harness.study.baselines_ahead import Ahead
from harness.study.contract import Helpers
from harness.study.stop import Stop

FAILURES = (ValueError, ArithmeticError, RuntimeError, MemoryError, HardwareError)
"""What scikit-learn raises for data that it cannot fit, and what an optional package that cannot be imported does."""

_PATIENCE, _PATIENCE_S = 10.0, 30.0
"""How many times as long as a fit took here a helper may take for its own, and how much longer."""
_MOST_MIB = 1024.0
"""Of samples that are sent to a helper, which is a copy of all."""
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


@dataclass(frozen=True, slots=True)
class Fit:
    """What came of fitting a baseline once."""

    metrics: dict[str, float] | None
    """On the samples that it was scored on; None where it failed."""
    rows: int
    """Samples that it was fitted on; 0 where it came to none."""
    seconds: float
    notes: tuple[str, ...]
    """What failed, or was warned of."""


@dataclass(frozen=True)
class Fitting:
    """Fits the baselines of a task on some samples and scores them on others."""

    dataset: TrainingData
    learned: tuple[Part, ...]
    scored: Part
    scorer: Scorer
    seed: int

    @cached_property
    def recipes(self) -> tuple[Estimator, ...]:
        """What is fitted, the simplest first, and what is not."""
        rows = min(self._most, len(self.dataset.train) + len(self.dataset.validation))
        return recipes(self.columns, rows, self.seed)

    @cached_property
    def columns(self) -> Columns:
        """What the models see."""
        return Columns.of(self.dataset.shape, self.seed)

    @property
    def _most(self) -> int:
        return fitting_rows(self.columns)

    def fit(self, number: int) -> Fit:
        """Fit the model of a recipe and score it; what goes wrong, or is warned of, is noted."""
        from threadpoolctl import threadpool_limits

        started = time.perf_counter()
        model, metrics, rows, notes = self.recipes[number].model, None, 0, list[str]()
        # One thread: on a machine that does other work too, two of them wait for each other at every split.
        with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
            warnings.simplefilter("always")
            try:
                inputs, known = drawn(self.columns, self.learned, self._most, self.seed)
                rows = len(known)
                fit_model(model, inputs, known)
                metrics = self._measured(model)
            except FAILURES as error:
                notes.append(f"failed: {first_line(error)}")
        notes += [f"{warning.category.__name__}: {first_line(warning.message)}" for warning in caught]
        return Fit(metrics, rows, time.perf_counter() - started, tuple(notes))

    def _measured(self, model: Any) -> dict[str, float]:
        """Return the plain loss and all other metrics of a fitted model."""
        shape, part = self.dataset.shape, self.scored
        problem, models = problem_of(shape), self.columns.models
        assert models is not None, "there is a model of it"
        answers = models.answers_of(model, self.columns.inputs(part), shape.outputs)
        loss = problem.losses_of(answers, part.targets, loss=problem.losses[0], scale=shape.scale).mean()
        return {LOSS: float(loss), **self.scorer.measure(part.truth, problem.own_units(answers, shape)).values}


def run_baselines(scene: Scene, seed: int, stop: Stop, helpers: Helpers | None = None) -> list[Baseline]:
    """Return a row for each baseline of the task, those that were skipped or failed included.

    A helper, where there is one and the data are not large, fits for validation while this process fits for test.
    """
    seed = derive_seed(seed, "baselines")
    search, final = scene.search, scene.final
    first = Fitting(search, (search.train,), search.validation, scene.scorer, seed)
    # The final data may know more categories than that of the search, and columns that vary only there.
    second = Fitting(final, (final.train, final.validation), scene.test, scene.scorer, seed)
    reasons = [why_not(recipe, stop) for recipe in second.recipes]
    wanted = [number for number, reason in enumerate(reasons) if not reason]
    sent_mib = sum(part.placed_bytes for part in (search.train, search.validation)) / MIB
    with closing(Ahead(first, wanted, helpers if sent_mib <= _MOST_MIB else None)) as ahead:
        return [_row(number, scene, second, ahead, stop) for number in range(len(reasons))]


def seconds_aside(spec: Spec, dataset: TrainingData) -> float:
    """Return how much of the time of a run to keep for its baselines; 0 where it has no end."""
    if not spec.search.baselines or spec.budget.time is None:
        return 0.0
    seed = derive_seed(spec.search.seed, "baselines")
    columns = Columns.of(dataset.shape, seed)
    rows = min(fitting_rows(columns), len(dataset.train) + len(dataset.validation))
    needed = sum(recipe.seconds for recipe in recipes(columns, rows, seed) if recipe.model is not None)
    return min(needed, _SHARE * spec.budget.time)


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


def _row(number: int, scene: Scene, final: Fitting, ahead: Ahead[Fit], stop: Stop) -> Baseline:
    recipe = final.recipes[number]
    if reason := why_not(recipe, stop):
        return Baseline(recipe.name, nothing(scene), None, NAN, 0, reason)
    second = final.fit(number)
    first = ahead.fit(number, stop, within_s=_PATIENCE * second.seconds + _PATIENCE_S)
    notes, rows = [recipe.note, final.columns.note], len(scene.search.train)
    if first is None:
        first = Fit(None, 0, 0.0, ("not scored on validation: the run was asked to stop",))
    elif first.metrics is None:
        second = replace(second, metrics=None)
    if 0 < first.rows < rows:
        notes.append(f"fitted on {first.rows:,} of {rows:,} rows, drawn from the seed")
    note = "; ".join(dict.fromkeys(filter(None, [*notes, *first.notes, *second.notes])))
    validation = first.metrics or nothing(scene)
    return Baseline(recipe.name, validation, second.metrics, first.seconds + second.seconds, first.rows, note)


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
