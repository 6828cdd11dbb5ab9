"""How many samples make a batch: as many as the device needs to be busy, and no more.

Larger batches keep a device busier until it is full; from there on they only leave an epoch with fewer steps to learn
in. So the smallest size is taken that comes close to the best measured rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from harness.errors import OutOfMemory
from harness.plan.calibration import WORTH_IT, Choice
from harness.plan.memory import Memory

SMALLEST = 16
LARGEST = 4096
BATCHES_AN_EPOCH = 16
"""Fewest batches of an epoch: with fewer steps than that there is little to learn by, however fast they are."""
PATIENCE = 2
"""Sizes in a row that may gain less than WORTH_IT before larger ones are left out."""


def sizes_for(samples: int) -> tuple[int, ...]:
    """Return the batch sizes to choose from for a training part of ``samples``, in growing order, at least one.

    Powers of two from SMALLEST to LARGEST that leave BATCHES_AN_EPOCH batches; where none does, SMALLEST alone, or all
    samples where they are fewer.
    """
    powers = (2**power for power in range(SMALLEST.bit_length() - 1, LARGEST.bit_length()))
    return tuple(size for size in powers if size * BATCHES_AN_EPOCH <= samples) or (min(SMALLEST, samples),)


def batch_size_by_rule(sizes: Sequence[int]) -> Choice:
    """Return the middle one of ``sizes``: of 1,437 samples 32, of 50,000 samples 256."""
    size = sizes[len(sizes) // 2]
    return Choice(str(size), reason=f"{size}: by rule, the middle one of {', '.join(map(str, sizes))}")


def choose_batch_size(sizes: Sequence[int], rate: Callable[[int], float], *, key: Hashable, memory: Memory) -> Choice:
    """Return the smallest of ``sizes`` whose rate is within 5 % of the best one's, measured once per machine.

    ``sizes`` are in growing order. ``rate(size)`` returns the samples per second of training in batches of that size,
    NaN where they do not fit in memory; it is asked size by size, until one does not fit or two in a row gain less
    than 5 %. ``key`` says what the rates depend on: the model, its inputs, the optimiser, the precision. The choice's
    value is the size in digits, its ratio the rate over the smallest size's. The ratio is NaN where there was nothing
    to choose: of one size, which is not measured, or where not even the smallest fits, which is not remembered.
    """
    if len(sizes) == 1:
        return Choice(str(sizes[0]), reason=f"{sizes[0]}: the only size to choose from")
    try:
        options = tuple(map(str, sizes))
        return memory.choice("batch_size", (tuple(sizes), key), options, lambda: _measure(sizes, rate))
    except OutOfMemory as error:
        return Choice(str(sizes[0]), reason=str(error))


def _measure(sizes: Sequence[int], rate: Callable[[int], float]) -> Choice:
    rates: dict[int, float] = {}
    said: list[str] = []
    gainless = 0
    for size in sizes:
        measured = rate(size)
        if math.isnan(measured):
            said.append(f"{size} does not fit in memory or in its limit")
            break
        gainless = gainless + 1 if rates and measured < WORTH_IT * [*rates.values()][-1] else 0
        rates[size] = measured
        said.append(f"{size}: {measured:,.0f}" if measured >= 100.0 else f"{size}: {measured:.3g}")
        if gainless == PATIENCE:
            break
    if not rates:
        raise OutOfMemory(f"{sizes[0]}: the smallest size, and not even that fits in memory or in its limit")
    best = max(rates.values())
    chosen = next(size for size, measured in rates.items() if measured * WORTH_IT >= best)
    reason = f"{chosen}: the smallest within 5 % of the most samples/s ({', '.join(said)})"
    return Choice(str(chosen), rates[chosen] / rates[sizes[0]], reason)
