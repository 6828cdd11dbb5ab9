"""PED-ANOVA: which parameters the best trials have in common, computed by Optuna from the records of a run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.records import Outcome
from harness.report.load import PARAMETER, decoded, parameter_columns
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
    columns = parameter_columns(complete)
    varied = [name for name in columns if complete[name].nunique() > 1]
    if len(complete) < LEAST_TRIALS:
        return PedAnova(reason=f"too few complete trials: {len(complete)}, needed {LEAST_TRIALS}")
    if not varied or complete["value"].nunique() < 2:
        return PedAnova(reason="nothing varied among the complete trials")
    quantile = max(_BEST_SHARE, _LEAST_BEST / len(complete))
    distributions = {
        name.removeprefix(PARAMETER): _distribution(complete[name], log=name.removeprefix(PARAMETER) in log_sampled)
        for name in varied
    }
    found = _evaluated(complete, distributions, quantile, maximize=maximize)
    total = sum(found.values())
    if not total > 0:
        return PedAnova(reason="the best trials are like all others in every parameter")
    shares = {path: share / total for path, share in sorted(found.items(), key=lambda item: (-item[1], item[0]))}
    return PedAnova(shares, best=math.ceil(quantile * len(complete)))


def _evaluated(
    complete: pd.DataFrame, distributions: Mapping[str, BaseDistribution], quantile: float, *, maximize: bool
) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for value, params in zip(complete["value"], decoded(complete["params"]), strict=True):
        known = {path: distributions[path] for path in params if path in distributions}
        given = {path: _given(distribution, params[path]) for path, distribution in known.items()}
        study.add_trial(optuna.trial.create_trial(params=given, distributions=known, value=float(value)))
    with warnings.catch_warnings():
        # Optuna warns of choices that hardly any trial made; it leaves those out.
        warnings.simplefilter("ignore", UserWarning)
        return PedAnovaImportanceEvaluator(target_quantile=quantile).evaluate(study)


def _distribution(column: pd.Series, *, log: bool) -> BaseDistribution:
    """Return the range or the choices that the trials had."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    known = column.dropna()
    if pd.api.types.is_bool_dtype(known.dtype) or not pd.api.types.is_numeric_dtype(known.dtype):
        return CategoricalDistribution(sorted({str(value) for value in known}))
    low, high = known.min(), known.max()
    if pd.api.types.is_integer_dtype(known.dtype):
        return IntDistribution(int(low), int(high), log=log and low > 0)
    return FloatDistribution(float(low), float(high), log=bool(log and low > 0))


def _given(distribution: BaseDistribution, value: Any) -> Any:
    """Return a parameter's value as its distribution has it."""
    return str(value) if hasattr(distribution, "choices") else value
