"""Pruners by name: which trials are given up after an epoch.

Some are Optuna's. Two are not, since Optuna neither goes on with a trial that it has stopped nor judges one by several
objectives: ``asha`` (:mod:`harness.study.decide.halving`) and ``dominated`` (:mod:`harness.study.decide.dominance`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner

from harness.registry import Registry
from harness.spec import Choice, Fixed, Spec, corner_values
from harness.study.decide.dominance import judgeable
from harness.study.decide.halving import Halving
from harness.study.objectives import Objective
from harness.train import schedules

pruners: Registry[Callable[[int], BasePruner]] = Registry("pruner")
"""Pruners by name: functions from the epochs of a trial to one of Optuna's pruners.

>>> @pruners.register("percentile-example")
... def prune(epochs):
...     return optuna.pruners.PercentilePruner(25.0, n_warmup_steps=epochs // 5)
>>> "percentile-example" in pruners
True
"""


def build_pruner(spec: Spec) -> BasePruner:
    """Return Optuna's part in the pruning of a search, which may be none."""
    return pruners[pruner_name(spec)](spec.steps)


def halving_of(spec: Spec, objective: Objective) -> Halving | None:
    """Return the successive halving of a search by its first objective; None where another pruner was chosen."""
    if pruner_name(spec) != "asha":
        return None
    return Halving(spec.budget.epochs, maximize=objective.maximize, stable=stable_epochs(spec))


def stable_epochs(spec: Spec) -> int:
    """Return the epochs before any of a space's schedules that have a stable phase leaves it.

    Up to there a trial that is shorter stands where a longer one stood, and what it was going to gain by its decay is
    still to come for both: rungs among them compare like with like.
    """
    decays = [0.0]
    options = spec.group.items.get("schedule")
    wsd = options.options.get("wsd") if isinstance(options, Choice) else None
    if wsd is not None:
        default = schedules["wsd"].config.model_fields["decay"].default
        decays += corner_values(wsd.items.get("decay", Fixed(default)))
    return math.floor(spec.budget.epochs * (1.0 - max(decays)) + 1e-9)


def pruner_name(spec: Spec) -> str:
    """Return the name of the pruner that ``auto`` stands for, or the one that was asked for."""
    if spec.search.pruner != "auto":
        return spec.search.pruner
    if len(spec.objective) < 2:
        return "asha" if _rungs_compare(spec) else "median"
    objectives = [Objective(metric, direction == "maximize") for metric, direction in spec.objective.items()]
    return "dominated" if judgeable(objectives) else "none"


LEAST_EPOCHS = 9
"""Of a trial, for ``auto`` to have it pause: below, there are not three rungs."""


def _rungs_compare(spec: Spec) -> bool:
    """Tell whether trials that stand at one rung were trained alike up to there, and for as long a rest.

    So it is at a stable rate whose decay all have still before them. Replayed on trained candidates
    (benchmarks/pruning.py), halving then loses what the median rule loses, for a third of its epochs; under a cosine it
    loses more.
    """
    options = spec.group.items.get("schedule")
    stable = isinstance(options, Choice) and set(options.options) == {"wsd"}
    alike = "epochs" not in spec.group.items and spec.evaluation.trainings == 1
    return stable and alike and spec.budget.epochs >= LEAST_EPOCHS


@pruners.register("median")
def _median(epochs: int) -> BasePruner:
    """Give up what is worse than the median at the same epoch (Golovin et al., 2017), past the first fifth of them."""
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1 + epochs // 5)


@pruners.register("hyperband")
def _hyperband(epochs: int) -> BasePruner:
    """Hyperband (Li et al., 2018): brackets of successive halving that start with fewer and longer trials."""
    return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)


@pruners.register("asha")
@pruners.register("dominated")
@pruners.register("none")
def _none(_epochs: int) -> BasePruner:
    return optuna.pruners.NopPruner()
