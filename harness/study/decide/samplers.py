"""Samplers by name. One is built anew for every trial from ``hash(seed, number)``.

So what a trial is offered depends on the seed, its number and the results told before it, and on nothing that lives in
memory: 11 trials and 19 more after a restart are the 30 of one go, without a pickle.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from harness.registry import Registry
from harness.spec import Range, Spec, parameters, size
from harness.study.decide.grid import point, shuffled
from harness.study.decide.idle import needed_where
from harness.study.decide.suggest import distribution, locate

Build = Callable[[Spec, int], BaseSampler]
samplers: Registry[Build] = Registry("sampler")
"""Samplers by name: functions from a spec and the number of a trial to one of Optuna's samplers.

>>> @samplers.register("random-example")
... def sample(spec, number):
...     return optuna.samplers.RandomSampler(seed=trial_seed(spec.search.seed, number))
>>> "random-example" in samplers
True
"""

REPLAYED = {"cmaes", "nsga2", "qmc"}
"""Samplers that leave notes for later trials when they are asked: the state of CMA-ES, the generation of a trial in
NSGA-II, the place in the Sobol sequence. The notes are no part of parameters and results."""


STARTUP = 5
"""Trials before TPE and the Gaussian process go by results. Optuna's 10 would leave a search of 8 or 12 trials to
chance. It must not depend on how many trials there will be: a search that is extended is the search of one go."""


def build_sampler(spec: Spec, number: int) -> BaseSampler:
    """Return the sampler for trial ``number``; the first ones are what the space says, and chance for the rest."""
    with warnings.catch_warnings():
        # The samplers below are pinned by tests of their sequences; that Optuna may change them is known.
        warnings.simplefilter("ignore", ExperimentalWarning)
        if number < len(spec.search.first):
            drawn = optuna.samplers.RandomSampler(seed=_seed(spec, number))
            return optuna.samplers.PartialFixedSampler(spec.first[number], drawn)
        return samplers[spec.search.sampler](spec, number)


def sampling(spec: Spec) -> AbstractContextManager[None]:
    """Return what a sampler is asked in: a Gaussian process computes with torch, and here on one thread.

    Several wait for each other: beside a busy core it takes ten times as long, and another number rounds otherwise.
    """
    if spec.search.sampler != "gp":
        return nullcontext()
    from harness.plan.running import thread_count

    return thread_count(1)


def needs_replay(spec: Spec) -> bool:
    """Tell whether the sampler must be asked again for the trials of an earlier part of the search."""
    return spec.search.sampler in REPLAYED


def trial_seed(seed: int, number: int) -> int:
    """Return the 32-bit seed of trial ``number`` in a search with ``seed``."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def _seed(spec: Spec, number: int) -> int:
    return trial_seed(spec.search.seed, number)


def startup(spec: Spec) -> int:
    """Return how many trials come before the model: the first ones and one of chance, five at least, ten at most."""
    return min(2 * STARTUP, max(STARTUP, len(spec.search.first) + 1))


@samplers.register("tpe")
def _tpe(spec: Spec, number: int) -> BaseSampler:
    """Tree-structured Parzen estimator (Bergstra et al., 2011), joint within each group of conditional parameters."""
    return optuna.samplers.TPESampler(
        seed=_seed(spec, number), multivariate=True, group=True, n_startup_trials=startup(spec)
    )


@samplers.register("random")
def _random(spec: Spec, number: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=_seed(spec, number))


@samplers.register("grid")
def _grid(spec: Spec, number: int) -> BaseSampler:
    params = point(spec.group, shuffled(number, int(size(spec.group)), spec.search.seed))
    for path, known in locate(spec.group, params).items():
        if isinstance(known, FloatDistribution):
            # The last of many steps may miss the end of the range by the rounding of a float.
            params[path] = min(params[path], known.high)
    return optuna.samplers.PartialFixedSampler(params, optuna.samplers.RandomSampler(seed=0))


class _CmaEsSampler(optuna.samplers.CmaEsSampler):
    """CMA-ES over parameters that are known beforehand.

    Optuna's own takes those that all trials so far had in common. Where these become fewer after the first generation,
    it draws at random for the rest of the search.
    """

    def __init__(self, parameters: dict[str, BaseDistribution], seed: int) -> None:
        super().__init__(seed=seed, warn_independent_sampling=False)
        self._parameters = parameters

    def infer_relative_search_space(self, *_: object) -> dict[str, BaseDistribution]:
        return dict(self._parameters)


@samplers.register("cmaes")
def _cmaes(spec: Spec, number: int) -> BaseSampler:
    """CMA-ES (Hansen, 2016) over the numeric parameters that always exist; the others are drawn at random."""
    at_times = needed_where(spec.group)
    lasting = {
        parameter.path: distribution(parameter.node)
        for parameter in sorted(parameters(spec.group), key=lambda parameter: parameter.path)
        if not parameter.condition and isinstance(parameter.node, Range) and parameter.path not in at_times
    }
    return _CmaEsSampler(lasting, _seed(spec, number))


@samplers.register("gp")
def _gp(spec: Spec, number: int) -> BaseSampler:
    return optuna.samplers.GPSampler(
        seed=_seed(spec, number), warn_independent_sampling=False, n_startup_trials=startup(spec)
    )


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
