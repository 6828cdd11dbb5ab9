"""How near two values of a metric must be to count as alike, by what the metric can tell apart at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from harness.data import TrainingData
from harness.problems import LOSS, Problem, problems
from harness.records import TaskShape
from harness.reproduction.levels import Check, same

Targets = NDArray[Any]

RELATIVE = 1e-3
"""Of a loss: rounding that differs between machines carries it about so far, and a change of recipe further."""


class Resolution(NamedTuple):
    """The samples that a metric is of."""

    samples: int
    rarest: int
    """Classes times the samples of the rarest one; 0: there are no classes."""


@dataclass(frozen=True)
class Tolerance:
    """How far metrics of one problem may be apart."""

    relative: float
    problem: Problem
    parts: Mapping[str, Resolution]
    """Of ``train``, ``validation`` and, once it was opened, ``test``."""

    def of(self, part: str, name: str, value: float) -> float:
        """Return how far from ``value`` a metric of a part may be.

        A metric that is to be small may differ by a share of itself, one that is at most 1 by as much of 1. Where
        classes are counted, one sample that is told otherwise may do more: a share of all samples moves by one of
        them, and a mean over classes by at most four of the rarest class, two for each class that it touches.
        """
        metric, seen = self.problem.metric(name), self.parts[part]
        allowed = self.relative * (1.0 if metric.maximize else abs(value))
        if not seen.rarest or name == LOSS or not (metric.share or (metric.summed and metric.maximize)):
            return allowed
        shares = name == "accuracy" or name.startswith("top_")
        return max(allowed, 1.0 / seen.samples if shares else 4.0 / seen.rarest)

    def compare(self, where: str, part: str, old: Mapping[str, float], new: Mapping[str, float]) -> list[Check]:
        """Return a check for each recorded metric of a part; a later version may measure more."""
        checks = []
        for name, told in old.items():
            found = new.get(name)
            near = self.of(part, name, told) if told is not None and found is not None else None
            checks.append(Check(f"{where}{name}", told, found, equal=same(told, found), tolerance=near))
        return checks


def tolerance_of(relative: float, datasets: Iterable[TrainingData], test: Targets | None = None) -> Tolerance:
    """Return the tolerance for trials that are trained on each of the data sets; ``test`` has the test targets."""
    datasets = list(datasets)
    shape = datasets[0].shape
    parts = {name: [getattr(each, name).targets for each in datasets] for name in ("train", "validation")}
    parts |= {"test": [test]} if test is not None else {}
    known = {name: _coarsest(_resolution(targets, shape) for targets in each) for name, each in parts.items()}
    return Tolerance(relative, problems[shape.kind], known)


def _resolution(targets: Targets, shape: TaskShape) -> Resolution:
    counts = problems[shape.kind].class_counts(targets, shape)
    if counts is None:
        return Resolution(len(targets), 0)
    return Resolution(len(targets), min(count for count in counts if count) * len(counts))


def _coarsest(found: Iterable[Resolution]) -> Resolution:
    samples, rarest = zip(*found, strict=True)
    return Resolution(min(samples), min(rarest))
