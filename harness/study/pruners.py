"""Pruners by name: which trials are given up after an epoch."""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner

from harness.registry import Registry
from harness.spec import Spec

pruners: Registry[Callable[[int], BasePruner]] = Registry("pruner")


def build_pruner(spec: Spec) -> BasePruner:
    """Return the pruner of a search; with several objectives nothing is pruned."""
    return pruners[pruner_name(spec)](spec.budget.epochs)


def pruner_name(spec: Spec) -> str:
    """Return the name of the pruner that ``auto`` stands for, or the one that was asked for."""
    if spec.search.pruner != "auto":
        return spec.search.pruner
    return "none" if len(spec.objective) > 1 else "median"


@pruners.register("median")
def _median(epochs: int) -> BasePruner:
    """Give up what is worse than the median at the same epoch (Golovin et al., 2017), past the first fifth of them."""
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1 + epochs // 5)


@pruners.register("asha")
def _asha(epochs: int) -> BasePruner:
    """Successive halving, asynchronous (Li et al., 2020): the best third is promoted at epochs 1, 3, 9, ..."""
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, epochs // 27), reduction_factor=3)


@pruners.register("hyperband")
def _hyperband(epochs: int) -> BasePruner:
    """Hyperband (Li et al., 2018): brackets of successive halving that start with fewer and longer trials."""
    return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)


@pruners.register("none")
def _none(_epochs: int) -> BasePruner:
    return optuna.pruners.NopPruner()
