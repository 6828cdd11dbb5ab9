"""Samplers by name. One is built anew for every trial from ``hash(seed, number)``.

So what a trial is offered depends on the seed, its number and the results told before it, and on nothing that lives in
memory: 11 trials and 19 more after a restart are the 30 of one go, without a pickle.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from harness.registry import Registry
from harness.spec import Spec, size
from harness.study.grid import point, shuffled

Build = Callable[[Spec, int], BaseSampler]
samplers: Registry[Build] = Registry("sampler")


def build_sampler(spec: Spec, number: int) -> BaseSampler:
    """Return the sampler for trial ``number``."""
    with warnings.catch_warnings():
        # The samplers below are pinned by tests of their sequences; that Optuna may change them is known.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return samplers[spec.search.sampler](spec, number)


def trial_seed(seed: int, number: int) -> int:
    """Return the 32-bit seed of trial ``number`` in a search with ``seed``."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def _seed(spec: Spec, number: int) -> int:
    return trial_seed(spec.search.seed, number)


@samplers.register("tpe")
def _tpe(spec: Spec, number: int) -> BaseSampler:
    """Tree-structured Parzen estimator (Bergstra et al., 2011), joint within each group of conditional parameters."""
    return optuna.samplers.TPESampler(seed=_seed(spec, number), multivariate=True, group=True)


@samplers.register("random")
def _random(spec: Spec, number: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=_seed(spec, number))


@samplers.register("grid")
def _grid(spec: Spec, number: int) -> BaseSampler:
    index = shuffled(number, int(size(spec.group)), spec.search.seed)
    return optuna.samplers.PartialFixedSampler(point(spec.group, index), optuna.samplers.RandomSampler(seed=0))


@samplers.register("cmaes")
def _cmaes(spec: Spec, number: int) -> BaseSampler:
    """CMA-ES (Hansen, 2016) over the numeric parameters that always exist; the others are drawn at random."""
    return optuna.samplers.CmaEsSampler(seed=_seed(spec, number), warn_independent_sampling=False)


@samplers.register("gp")
def _gp(spec: Spec, number: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=_seed(spec, number), warn_independent_sampling=False)


@samplers.register("nsga2")
def _nsga2(spec: Spec, number: int) -> BaseSampler:
    """NSGA-II (Deb et al., 2002) with a population that a search of tens of trials can turn over."""
    return optuna.samplers.NSGAIISampler(seed=_seed(spec, number), population_size=16)


@samplers.register("qmc")
def _qmc(spec: Spec, number: int) -> BaseSampler:
    """Sobol points: the sequence is one for the whole search, so it is seeded by the search, not by the trial."""
    return optuna.samplers.QMCSampler(
        seed=spec.search.seed,
        independent_sampler=optuna.samplers.RandomSampler(seed=_seed(spec, number)),
        warn_independent_sampling=False,
        warn_asynchronous_seeding=False,
    )
