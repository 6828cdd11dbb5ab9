"""PED-ANOVA: which parameters the best trials have in common, computed by Optuna from the records of a run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.records import Outcome
from harness.report.load import decoded
from harness.report.statistics import ended, trained

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_TRIALS = 20
"""Complete trials below which the best of them are too few to have anything in common but luck."""
_LEAST_BEST = 5
_BEST_SHARE = 0.1


@dataclass(frozen=True)
class PedAnova:
    """How much each searched parameter decides whether a trial is among the best ones."""

    shares: Mapping[str, float] = field(default_factory=dict)
    """By dotted path, adding up to 1, the largest first; empty where ``reason`` says why."""
    best: int = 0
    """How many trials count as the best."""
    reason: str = ""


def ped_anova(trials: pd.DataFrame, *, maximize: bool, log_sampled: Collection[str] = ()) -> PedAnova:
    """Return the importances of all parameters, conditional ones included, for reaching the best tenth of the trials.

    Watanabe et al., 2023, arXiv:2304.10255, with its extension to conditional parameters (arXiv:2601.20800): how far
    the distribution of a parameter among the best trials is from that among all. Of fewer than fifty trials the best
    five take the place of the best tenth. Each candidate counts once.
    """
    complete = trials[ended(trials, Outcome.COMPLETE) & trained(trials) & trials["value"].notna()]
    params = decoded(complete["params"])
    given = {path: [each[path] for each in params if path in each] for path in dict.fromkeys(chain(*params))}
    varied = [path for path, values in given.items() if len(set(map(str, values))) > 1]
    if len(complete) < LEAST_TRIALS:
        return PedAnova(reason=f"too few complete trials: {len(complete)}, needed {LEAST_TRIALS}")
    if not varied or complete["value"].nunique() < 2:
        return PedAnova(reason="nothing varied among the complete trials")
    quantile = max(_BEST_SHARE, _LEAST_BEST / len(complete))
    distributions = {path: _distribution(given[path], log=path in log_sampled) for path in varied}
    found = _evaluated(list(zip(complete["value"], params, strict=True)), distributions, quantile, maximize=maximize)
    total = sum(found.values())
    if not total > 0:
        return PedAnova(reason="the best trials are like all others in every parameter")
    shares = {path: share / total for path, share in sorted(found.items(), key=lambda item: (-item[1], item[0]))}
    return PedAnova(shares, best=math.ceil(quantile * len(complete)))


def _evaluated(
    trials: Sequence[tuple[float, Mapping[str, Any]]],
    distributions: Mapping[str, BaseDistribution],
    quantile: float,
    *,
    maximize: bool,
) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    with _quiet():
        study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for value, params in trials:
        known = {path: distributions[path] for path in params if path in distributions}
        given = {path: _given(distribution, params[path]) for path, distribution in known.items()}
        study.add_trial(optuna.trial.create_trial(params=given, distributions=known, value=float(value)))
    with warnings.catch_warnings():
        # Optuna warns of choices that hardly any trial made; it leaves those out.
        warnings.simplefilter("ignore", UserWarning)
        return PedAnovaImportanceEvaluator(target_quantile=quantile).evaluate(study)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling of studies that are made within."""
    from optuna.logging import ERROR, get_verbosity, set_verbosity

    level = get_verbosity()
    set_verbosity(ERROR)
    try:
        yield
    finally:
        set_verbosity(level)


def _distribution(values: Sequence[Any], *, log: bool) -> BaseDistribution:
    """Return the range or the choices that the trials had; ``null`` is a choice as any other."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return CategoricalDistribution(sorted(set(map(str, values))))
    low, high = min(values), max(values)
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log and low > 0)
    return FloatDistribution(low, high, log=log and low > 0)


def _given(distribution: BaseDistribution, value: Any) -> Any:
    """Return a parameter's value as its distribution has it."""
    return str(value) if hasattr(distribution, "choices") else value
