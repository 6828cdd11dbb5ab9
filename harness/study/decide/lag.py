"""How late a search learns of results, so that several stretches can be under way.

The same seed is to give the same trials on any number of cores, so what is known at a decision must not depend on how
fast trials are: it follows from the number of the stretch alone. The fewer results are known, the more can be trained
at once, and the less a sampler learns from each. Early results tell it most, so at first few are under way. Over 20
seeds of two shipped spaces, replayed on a surrogate (benchmarks/regret.py), the regret of TPE after 30 trials was 1.13
times (0.91 to 1.42) that of one trial at a time with 8 under way and 1.26 (1.04 to 1.53) with 16; after 64 trials 1.24
(0.87 to 1.84) and 1.40 (1.06 to 1.98). So no more than 8 are.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.spec import Spec
from harness.study.decide.pruners import pruner_name
from harness.study.decide.samplers import startup

BLIND = ("random", "grid", "qmc")
"""Samplers that do not look at results."""
MOST = 8
"""Stretches under way at most of a sampler that looks at results."""
GENERATION = {"nsga2": 16, "cmaes": 8}
"""Trials that a sampler proposes before it looks at results again, about."""


@dataclass(frozen=True, slots=True)
class Lag:
    """The first ``free`` stretches know no result; later ones a ``share`` of those before them, or all but ``most``."""

    free: int
    most: int
    """Stretches under way at most."""
    share: float

    def known(self, number: int) -> int:
        """Return of how many stretches, from the first on, the results are known when stretch ``number`` is decided."""
        if number < self.free:
            return 0
        return max(number - self.most + 1, int(self.share * number))


def lag_of(spec: Spec) -> Lag:
    """Return the lag of a search: by its sampler, and where that is blind by its pruner.

    One that ends where nothing improves looks at results, too: it is to see soon that there are none.
    """
    blind = spec.search.sampler in BLIND and not spec.budget.stagnation
    if blind and pruner_name(spec) == "none":
        return Lag(free=64, most=64, share=0.0)
    if blind and pruner_name(spec) != "asha":
        return Lag(free=32, most=64, share=0.5)
    if size := GENERATION.get(spec.search.sampler):
        return Lag(free=size, most=size, share=0.0)
    return Lag(free=startup(spec), most=max(MOST, startup(spec)), share=2 / 3)
