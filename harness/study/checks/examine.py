"""All checks of the data of a search, one after the other, and what they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness.data import Dataset, Part, TrainingData, derive_seed
from harness.data.suspicion import Suspicion
from harness.spec import Spec
from harness.study.baseline_models import Columns
from harness.study.checks import labels
from harness.study.checks.columns import leaks, row_order
from harness.study.checks.drift import drift
from harness.study.checks.labels import mislabelled
from harness.study.checks.sample import can_be_seen, draw
from harness.study.checks.samples import imbalance, near_copies, outliers
from harness.study.job import Job

ROWS = 20_000
"""Most samples whose columns are looked at one by one."""
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
    if reason := _why_not(job.spec, job.dataset):
        return Examined(unchecked=f"the data were not checked: {reason}")
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # so that sums are added up in the same order with any number of cores
        return Examined(tuple(_suspicions(job.spec, job.dataset, dataset)))


def examine_test(job: Job, dataset: Dataset, part: Part) -> tuple[Suspicion, ...]:
    """Compare the inputs of test samples that were opened with those of ``dataset``, unless chance drew them."""
    if "test" in dataset.drawn_at_random or _why_not(job.spec, dataset):
        return ()
    return tuple(drift(dataset, part, "test", _seed(job.spec)))


def _suspicions(spec: Spec, data: TrainingData, dataset: Dataset) -> Iterator[Suspicion]:
    seed, at_random = _seed(spec), dataset.drawn_at_random
    known = {each.subject for each in dataset.suspected}
    many = draw(data, (data.train, data.validation), ROWS, seed)
    yield from leaks(many, known, seed)
    if "validation" in at_random and not dataset.grouped:
        yield from row_order(many)
    yield from near_copies(data, seed)
    yield from mislabelled(draw(data, (data.train, data.validation), labels.ROWS, seed), seed)
    yield from imbalance(data)
    yield from outliers(many)
    if "validation" not in at_random:
        yield from drift(data, data.validation, "validation", seed)


def _seed(spec: Spec) -> int:
    return derive_seed(spec.search.seed, "checks")


def _why_not(spec: Spec, data: TrainingData) -> str:
    if not spec.search.checks:
        return "search.checks is false"
    if not can_be_seen(data):
        return "there are checks of tables and images alone"
    seconds = cost_s(Columns.of(data.shape, 0), len(data.train) + len(data.validation))
    if spec.budget.time is not None and seconds > _SHARE * spec.budget.time:
        return f"that takes about {seconds:.1f} s, and budget.time is {spec.budget.time:.0f} s"
    return ""


def cost_s(columns: Columns, rows: int) -> float:
    """Return about what all checks take, from figures of one core of an EPYC."""
    features = columns.numbers + len(columns.cardinalities)
    return 0.1 + 3e-7 * min(rows, ROWS) * features + 3e-6 * min(rows, labels.ROWS) * features**0.5 * 64
