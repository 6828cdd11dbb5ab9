"""Objectives: which figure of a trial is to be made large or small."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import SpecError
from harness.own import import_function
from harness.problems import LOSS, known_metrics, problem_of, problems
from harness.problems.scoring import Function, Scorer, scores
from harness.records import Outcome, TaskShape, TrialRecord, memory_mib
from harness.spec import COST, Direction, Spec
from harness.study.pareto import pareto_front


@dataclass(frozen=True, slots=True)
class Objective:
    """One metric and whether more of it is better."""

    metric: str
    maximize: bool
    exact: bool = False
    """Whether the best value wins, be it by ever so little: no cheaper trial that is tied with it."""

    @property
    def direction(self) -> Direction:
        """Optuna's word for it."""
        return "maximize" if self.maximize else "minimize"

    def value(self, validation: Mapping[str, float], figures: Mapping[str, float]) -> float:
        """Return the trial's value; NaN when it was not measured on this machine."""
        if self.metric not in COST:
            return validation.get(self.metric, math.nan)
        if self.metric == "memory_mb":
            return memory_mib(figures)
        return figures.get(COST[self.metric][1], math.nan)

    def better(self, new: float, old: float) -> bool:
        """Tell whether ``new`` beats ``old``; anything beats NaN."""
        return math.isnan(old) or (new > old if self.maximize else new < old)


def resolve_objectives(spec: Spec, kind: str) -> tuple[Objective, ...]:
    """Return the objectives of a search on a task of ``kind``. Raises :class:`SpecError` where they do not fit it."""
    problem, exact = problems[kind], spec.search.winner == "best"
    if not spec.objective:
        return (Objective(problem.objective, problem.metric(problem.objective).maximize, exact),)
    for name in spec.objective:
        _check_fits(name, kind, f"objective.{name}")
    return tuple(Objective(name, direction == "maximize", exact) for name, direction in spec.objective.items())


def resolve_metrics(spec: Spec, shape: TaskShape, given: Mapping[str, Function], *, trust: bool) -> Scorer:
    """Return what measures the metrics that are asked for, beyond sums over batches, and the user's own.

    Those of ``given`` are not imported, and those without a path are registered. Raises :class:`SpecError` where a
    metric does not fit the task, and :class:`InputError` for one of the user's that is not trusted or cannot be
    imported.
    """
    from joblib import wrap_non_picklable_objects

    kind, problem = shape.kind, problem_of(shape)
    asked = [*spec.objective, *(name for name, path in spec.metrics.items() if path is None)]
    for name in asked:
        where = f"{'objective' if name in spec.objective else 'metrics'}.{name}"
        _check_fits(name, kind, where)
        if why := problem.lacks(name):
            raise SpecError(f"{where}: has no value on this task: {why}; use another metric")

    def function(name: str, path: str | None) -> Function:
        if name in given:
            return given[name]
        return scores[name] if path is None else import_function(path, f"metrics.{name}", trust=trust)

    known = known_metrics()
    # Wrapped, so that worker processes get lambdas and functions of a notebook too.
    own = {
        name: wrap_non_picklable_objects(function(name, path))
        for name, path in spec.metrics.items()
        if name not in known
    }
    return Scorer(kind, tuple(name for name in problem.unsummed if name in asked), own, shape.target)


def _check_fits(name: str, kind: str, where: str) -> None:
    """Refuse a metric of another problem."""
    fitting = [metric.name for metric in problems[kind].metrics]
    if name in known_metrics() and name not in (LOSS, *fitting):
        raise SpecError(f"{where}: does not fit a {kind} task; use one of {', '.join(sorted(fitting))} or loss")


def tied(objectives: Sequence[Objective], records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the complete trials that the validation samples cannot tell from the best one, the winner first.

    That is each whose first objective is no worse than the best of all values taken back by their own standard errors
    (Breiman et al., 1984, call it the one-standard-error rule); where that objective is ``exact``, each that has the
    best value. With several objectives it must be on the Pareto front too. The cheapest wins: few parameters, then few
    FLOPs, each by its power of two (a tenth more is no price for a better value), then a better value, then a lower
    number, nothing that a clock measured, so that two runs of one seed have one winner. The order in which results come
    does not matter, and a trial that is not among them never comes to be by further results.
    """
    first, found = objectives[0], _eligible(objectives[0], records)
    if not found:
        return []
    bar = max(_signed(first, record) - _slack(first, record) for record in found)
    close = [record for record in found if _signed(first, record) >= bar]
    if len(objectives) > 1:
        front = pareto(objectives, {record.trial: record.values for record in found})
        close = [record for record in close if record.trial in front]
    return sorted(close, key=lambda record: (*_cost(record), -_signed(first, record), record.trial))


def contenders(objectives: Sequence[Objective], records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that are the winner, or could become it by further results; all others never can."""
    close = tied(objectives, records)
    if len(objectives) > 1:
        return close
    kept: list[TrialRecord] = []
    for record in close:
        # One that is no better than a cheaper one is tied with the best no longer than that.
        if not kept or _signed(objectives[0], record) > _signed(objectives[0], kept[-1]):
            kept.append(record)
    return kept


def pareto(objectives: Sequence[Objective], values: Mapping[int, tuple[float, ...]]) -> list[int]:
    """Return the numbers of the trials on the Pareto front."""
    front = pareto_front(list(values.values()), [objective.maximize for objective in objectives])
    return sorted(trial for trial, kept in zip(values, front, strict=True) if kept)


def _eligible(first: Objective, records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the complete trials that were trained; of those that an earlier version left, only the best one.

    They have no standard error, and of the others the weights were not kept.
    """
    complete = [record for record in records if record.outcome is Outcome.COMPLETE and record.same_as is None]
    earlier = [record for record in complete if "value_se" not in record.figures]
    best = min(earlier, key=lambda record: (-_signed(first, record), record.trial), default=None)
    return [record for record in complete if record is best or "value_se" in record.figures]


def _signed(first: Objective, record: TrialRecord) -> float:
    """Return the first objective, to be made large."""
    return record.values[0] if first.maximize else -record.values[0]


def _slack(first: Objective, record: TrialRecord) -> float:
    """Return the standard error of the first objective; 0 where the trial competes by its value.

    So it does where the error is not known, or the value alone is to count.
    """
    error = 0.0 if first.exact else record.figures.get("value_se", math.nan)
    return error if 0.0 < error < math.inf else 0.0


def _cost(record: TrialRecord) -> tuple[float, ...]:
    """Return the powers of two of parameters and FLOPs; what is not known counts as dear."""
    figures = (record.figures.get(name, math.nan) for name in ("parameters", "flops"))
    return tuple(math.inf if math.isnan(figure) else math.frexp(figure)[1] for figure in figures)
