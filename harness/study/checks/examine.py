"""All checks of the data of a search, one after the other, and what they take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harness.data import Dataset, Part, TrainingData, derive_seed
from harness.data.modalities import modalities
from harness.data.suspicion import Suspicion
from harness.problems import problems
from harness.spec import Spec
from harness.study.baselines import drawn_rows
from harness.study.checks import forecasts, labels
from harness.study.checks.columns import leaks, row_order
from harness.study.checks.drift import drift
from harness.study.checks.labels import mislabelled
from harness.study.checks.sample import chosen_inputs, draw, features_of
from harness.study.checks.samples import far_values, faults, imbalance, near_copies, outliers
from harness.study.checks.words import giveaways
from harness.study.job import Job

ROWS, VALUES = 20_000, 1_000_000
"""Most samples whose columns are looked at one by one, and most values of them."""
RAW_VALUES = 20_000_000
"""Most values of samples as they were read."""
LONGEST_S = 0.25
"""Seconds that describing samples as columns may take each time; there are fewer of large ones."""
_COUNTED = 200
"""Columns that take a classifier as long as the counts of texts do."""
_SHARE = 0.02
"""Most of the time of a run that the checks may take."""


class Examined(NamedTuple):
    """What was noticed of the data of a search, and what was not looked at."""

    suspicions: tuple[Suspicion, ...] = ()
    unchecked: str = ""
    """Why not all was looked at; empty where it was."""

    def told(self, name: str) -> tuple[str, ...]:
        """Return the notes on the task of this name."""
        return (*(f"{name}: {each.text}" for each in self.suspicions), *filter(None, (self.unchecked,)))


def examine(job: Job, dataset: Dataset) -> Examined:
    """Look at the samples to learn from, before the search; ``dataset`` may have noticed something when it was read."""
    if not job.spec.search.checks:
        return Examined()
    kind = _kind_of(dataset)
    if reason := _why_not(job.spec, dataset, kind):
        return Examined(unchecked=f"the data were not checked: {reason}")
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # so that sums are added up in the same order with any number of cores
        return Examined(tuple(_suspicions(job.spec, dataset, kind)))


def examine_test(job: Job, dataset: Dataset, part: Part) -> tuple[Suspicion, ...]:
    """Compare the inputs of test samples that were opened with those of ``dataset``, unless chance drew them.

    Of series it is the values themselves, which are the inputs of what comes next.
    """
    if "test" in dataset.drawn_at_random or not job.spec.search.checks:
        return ()
    if _why_not(job.spec, dataset, _kind_of(dataset)):
        return ()
    if _continues(dataset):
        return tuple(forecasts.noticed_of_test(dataset))
    return tuple(drift(dataset, part, "test", _seed(job.spec)))


def _suspicions(spec: Spec, dataset: Dataset, kind: _Kind | None) -> Iterator[Suspicion]:
    if kind is None:
        yield from forecasts.noticed(dataset)
        return
    seed, parts = _seed(spec), (dataset.train, dataset.validation)
    many = draw(dataset, parts, kind.most_rows, seed)
    yield from leaks(many, {each.subject for each in dataset.suspected}, seed)
    yield from giveaways(many)
    if "validation" in dataset.drawn_at_random and not dataset.grouped:
        yield from row_order(many)
    yield from near_copies(dataset, seed)
    yield from mislabelled(draw(dataset, parts, kind.most, seed), seed)
    yield from imbalance(dataset)
    yield from outliers(many)
    yield from _as_read(dataset, seed)
    if "validation" not in dataset.drawn_at_random:
        yield from drift(dataset, dataset.validation, "validation", seed)


def _as_read(dataset: Dataset, seed: int) -> Iterator[Suspicion]:
    """Yield what is odd about samples as they were read."""
    fitted, parts = dataset.preprocessing, (dataset.train, dataset.validation)
    modality = modalities[fitted["inputs"]]
    most = max(labels.LEAST, min(ROWS, RAW_VALUES // max(1, modality.width(fitted))))
    rows = drawn_rows(parts, most, seed)
    raw = dataset.raw_to_learn_from(*rows)
    index = np.concatenate([part.index[own] for part, own in zip(parts, rows, strict=True)])
    yield from faults(modality.faults(raw), index)
    for name, values in modality.traits(raw).items():
        yield from far_values(name, values.astype(np.float64), index)


def _continues(dataset: TrainingData) -> bool:
    return problems[dataset.shape.kind].continues


def _seed(spec: Spec) -> int:
    return derive_seed(spec.search.seed, "checks")


def _why_not(spec: Spec, dataset: TrainingData, kind: _Kind | None) -> str:
    if kind is None and not _continues(dataset):
        return "there are no checks of such inputs"
    seconds = _cost_s(dataset, kind)
    if spec.budget.time is not None and seconds > _SHARE * spec.budget.time:
        return f"that takes about {seconds:.1f} s, and budget.time is {spec.budget.time:.0f} s"
    return ""


class _Kind(NamedTuple):
    """What samples are like as columns."""

    columns: int
    """Counts taken for what they cost."""
    each_s: float
    """About what describing a sample takes."""
    most: int
    """Samples that are looked at each for itself, by a classifier."""
    most_rows: int
    """Samples whose columns are looked at one by one."""


def _kind_of(dataset: TrainingData) -> _Kind | None:
    """Return what samples are like as columns; None where they are not compared, as those of forecasts."""
    fitted = dataset.preprocessing
    found = features_of(dataset, chosen_inputs(dataset.train, np.arange(1)))
    if found is None:
        return None
    counted = not isinstance(found.columns, np.ndarray)
    columns = _COUNTED if counted else max(1, found.columns.shape[1])
    modality = modalities[fitted["inputs"]]
    each_s = modality.seconds_a_value * modality.width(fitted)
    most = labels.ROWS if each_s == 0.0 else int(np.clip(LONGEST_S / each_s, labels.LEAST, labels.ROWS))
    return _Kind(columns, each_s, most, max(most, min(ROWS, VALUES // columns)) if found.units else most)


def _cost_s(dataset: TrainingData, kind: _Kind | None) -> float:
    """Return about what all checks take, by figures of one core of an EPYC: a second for 10,000 rows of 50 columns."""
    if kind is None:
        return 0.2
    rows = len(dataset.train) + len(dataset.validation)
    one_by_one_s = 4e-7 * kind.columns * min(rows, kind.most_rows)
    return 0.2 + one_by_one_s + (3e-5 * math.sqrt(kind.columns) + 3 * kind.each_s) * min(rows, kind.most)
