"""Objectives: which figure of a trial is to be made large or small."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import SpecError
from harness.records import Outcome, TaskKind, TrialRecord, memory_mib
from harness.spec import COST, LABEL_OBJECTIVES, QUALITY, VALUE_OBJECTIVES, Direction, Spec

_DEFAULT = {TaskKind.CLASSIFICATION: "f1_macro", TaskKind.REGRESSION: "rmse"}


@dataclass(frozen=True, slots=True)
class Objective:
    """One metric and whether more of it is better."""

    metric: str
    maximize: bool

    @property
    def direction(self) -> Direction:
        """Optuna's word for it."""
        return "maximize" if self.maximize else "minimize"

    def value(self, validation: Mapping[str, float], figures: Mapping[str, float]) -> float:
        """Return the trial's value; NaN when it was not measured on this machine."""
        if self.metric in QUALITY:
            return validation.get(self.metric, math.nan)
        if self.metric == "memory_mb":
            return memory_mib(figures)
        return figures.get(COST[self.metric][1], math.nan)

    def better(self, new: float, old: float) -> bool:
        """Tell whether ``new`` beats ``old``; anything beats NaN."""
        return math.isnan(old) or (new > old if self.maximize else new < old)


def resolve_objectives(spec: Spec, kind: TaskKind) -> tuple[Objective, ...]:
    """Return the objectives of a search on a task of ``kind``. Raises :class:`SpecError` where they do not fit it."""
    chosen = dict(spec.objective)
    if not chosen:
        name = _DEFAULT[kind]
        chosen = {name: QUALITY[name]}
    foreign = VALUE_OBJECTIVES if kind is TaskKind.CLASSIFICATION else LABEL_OBJECTIVES
    for name in chosen:
        if name in foreign:
            fitting = LABEL_OBJECTIVES if kind is TaskKind.CLASSIFICATION else VALUE_OBJECTIVES
            raise SpecError(
                f"objective.{name}: does not fit a {kind} task; use one of {', '.join(sorted(fitting))} or loss"
            )
    return tuple(Objective(name, direction == "maximize") for name, direction in chosen.items())


def best_trial(first: Objective, records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the complete trial with the best first objective, the earliest of equals; None where there is none."""
    sign = -1.0 if first.maximize else 1.0
    complete = [record for record in records if record.outcome is Outcome.COMPLETE]
    return min(complete, key=lambda record: (sign * record.values[0], record.trial), default=None)


def pareto(objectives: Sequence[Objective], values: Mapping[int, tuple[float, ...]]) -> list[int]:
    """Return the trials that no other one beats in every objective, by number."""
    signed = {
        trial: [v if objective.maximize else -v for v, objective in zip(row, objectives, strict=True)]
        for trial, row in values.items()
    }

    def dominated(row: list[float]) -> bool:
        return any(other != row and all(o >= r for o, r in zip(other, row, strict=True)) for other in signed.values())

    return sorted(trial for trial, row in signed.items() if not dominated(row))
