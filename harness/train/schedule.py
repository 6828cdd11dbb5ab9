"""Schedules by name, of the learning rate, of dropout or of weight decay.

Each is a pure function from the step (from 0) to a factor of the value that the candidate has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from harness.records import Named
from harness.registry import Registry
from harness.train.options import Option, OptionConfig, configure

Factor = Callable[[int], float]
WarmUp = Annotated[float, Field(strict=True, ge=0.0, le=100_000.0)]

schedules: Registry[Option[Factor]] = Registry("schedule")
"""Schedules by name. ``build`` takes the parameters, the steps of an epoch and all steps, and returns the factor.

>>> option = schedules["cosine"]
>>> factor = option.build(option.config(), 5, 10)
>>> factor(0), round(factor(5), 3)
(1.0, 0.5)
"""


class Constant(OptionConfig):
    """The value as it is, after an optional warm-up."""

    warmup_epochs: WarmUp = 0.0
    """Epochs, or parts of one, in which the rate rises linearly to its full value."""


class Cosine(OptionConfig):
    """Half a cosine from the full rate down (Loshchilov and Hutter, 2017, arXiv:1608.03983, without restarts)."""

    warmup_epochs: WarmUp = 0.0
    """Epochs, or parts of one, in which the rate rises linearly to its full value."""
    final: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = 0.0
    """Share of the rate that is approached at the end."""


class OneCycle(OptionConfig):
    """Up to the full rate and down to almost nothing (Smith and Topin, 2019, arXiv:1708.07120), both along a cosine.

    The rise is its warm-up.
    """

    peak: Annotated[float, Field(strict=True, gt=0.0, lt=1.0)] = 0.3
    """Share of the steps after which the rate is at its full value."""
    div: Annotated[float, Field(strict=True, ge=1.0, le=1e6)] = 25.0
    """The rate starts at its full value over this."""
    final_div: Annotated[float, Field(strict=True, ge=1.0, le=1e9)] = 1e4
    """The rate ends at what it started with over this."""


class CosLog4(OptionConfig):
    """Four rises and falls between 0 and the full rate, each as long as twice the one before.

    ``(1 - cos(2 pi log2(1 + 15 t))) / 2`` of the share t of the steps that are done (Holzmueller et al., 2024,
    arXiv:2407.04491). Each fall ends where a shorter training would, so that it gains from early stopping.
    """


class Wsd(OptionConfig):
    """Up, level and down: warm-up, stable, decay (Hu et al., 2024, arXiv:2404.06395)."""

    warmup: Annotated[float, Field(strict=True, ge=0.0, lt=1.0)] = 0.05
    """Share of the steps in which the rate rises linearly to its full value."""
    decay: Annotated[float, Field(strict=True, gt=0.0, le=1.0)] = 0.2
    """Share of the steps at the end in which the rate falls to 0; at most those after the warm-up."""
    shape: Literal["linear", "sqrt"] = "sqrt"
    """How it falls over the share s of these steps: by ``s``, or by its square root (Haegele et al., 2024,
    arXiv:2405.18392)."""


def anneals(schedule: Named) -> bool:
    """Tell whether the schedule lowers the rate towards its last epoch, so that one that stops early never ends it."""
    return schedule.name != "constant"


def validate_schedule(schedule: Named, key: str = "schedule") -> None:
    """Check name and parameters. Raises :class:`InputError` with the key path, which begins with ``key``."""
    configure(schedules, schedule, key)


def build_schedule(schedule: Named, *, steps_per_epoch: int, epochs: int) -> Factor:
    """Return the factor for each of ``steps_per_epoch * epochs`` steps. Raises :class:`InputError`."""
    option, config = configure(schedules, schedule)
    return option.build(config, steps_per_epoch, epochs * steps_per_epoch)


def _constant(config: Constant, steps_per_epoch: int, steps: int) -> Factor:
    return _warmed_up(config.warmup_epochs * steps_per_epoch, steps, lambda _share: 1.0)


def _cosine(config: Cosine, steps_per_epoch: int, steps: int) -> Factor:
    return _warmed_up(
        config.warmup_epochs * steps_per_epoch, steps, lambda share: _cosine_from(1.0, config.final, share)
    )


def _warmed_up(warmup_steps: float, steps: int, after: Callable[[float], float]) -> Factor:
    """Rise by equal amounts to 1, then go on with ``after``, a function of the share of the remaining steps done."""
    rise = min(round(warmup_steps), steps)
    rest = max(steps - rise, 1)
    return lambda step: (step + 1) / rise if step < rise else after((step - rise) / rest)


def _one_cycle(config: OneCycle, _steps_per_epoch: int, steps: int) -> Factor:
    top = max(config.peak * steps - 1.0, 0.0)
    """Step at which the rate is full, not necessarily a whole one; the same as torch's OneCycleLR."""
    start = 1.0 / config.div
    end = start / config.final_div

    def factor(step: int) -> float:
        if step < top:
            return _cosine_from(start, 1.0, step / top)
        return _cosine_from(1.0, end, (step - top) / max(steps - 1 - top, 1.0))

    return factor


def _coslog4(_config: CosLog4, _steps_per_epoch: int, steps: int) -> Factor:
    return lambda step: 0.5 * (1.0 - math.cos(2.0 * math.pi * math.log2(1.0 + 15.0 * step / steps)))


def _wsd(config: Wsd, _steps_per_epoch: int, steps: int) -> Factor:
    rise = round(config.warmup * steps)
    fall = min(max(round(config.decay * steps), 1), steps - rise)
    power = 1.0 if config.shape == "linear" else 0.5

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        fallen = (step - (steps - fall)) / fall
        return 1.0 - fallen**power if fallen > 0.0 else 1.0

    return factor


def _cosine_from(high: float, low: float, share: float) -> float:
    return low + (high - low) * 0.5 * (1.0 + math.cos(math.pi * share))


schedules.add("constant", Option("the same rate throughout", Constant, _constant))
schedules.add("coslog4", Option("four falls, each twice as long as the one before", CosLog4, _coslog4))
schedules.add("cosine", Option("half a cosine down", Cosine, _cosine))
schedules.add("one_cycle", Option("up, then down to almost nothing", OneCycle, _one_cycle))
schedules.add("wsd", Option("up, level, and down at the end", Wsd, _wsd))
