"""On how many CPU threads a model is trained: as many as pay at this moment, and one where they do not.

The threads of a step wait for each other at every operation. Where the operations are small the waiting takes longer
than what is shared; where another process keeps a core busy, each wait lasts until that core is given back. So a thread
must earn its place by a clear gain, measured beside whatever else the machine does now. What earlier runs found is
asked again for the same reason, and kept unless it is clearly wrong now, so that two runs on one idle machine choose
alike. Candidates of one configuration and batch share an answer, however they are optimised, so that it costs a search
a few steps for each configuration that is large enough to be measured at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

from harness.plan.calibration import SMALL_FLOPS, Choice, Probe
from harness.plan.memory import Memory
from harness.plan.running import thread_count

CLEAR_GAIN = 1.25
"""Seconds on half the threads over seconds on all of them, from which all are taken."""
STILL_GAINS = 1.05
"""The same where an earlier run has found that these threads pay: they are kept unless that is over."""
CONTRADICTS = 1.5
"""The same where an earlier run has found that they do not, maybe beside another process."""
BUDGET_S = 0.06
"""Of one comparison."""


def choose_threads(probe: Probe, precision: str, most: int, memory: Memory | None) -> Choice:
    """Return the number of CPU threads of a training, in digits, from 1 to ``most``.

    A batch whose forward pass is small gets one by rule, as does every batch without a ``memory``. Others are measured
    once per run, precision, configuration and batch shape. The ratio is the gain over half the threads, or of one
    thread over two where one was chosen.
    """
    if probe.device.type != "cpu":
        return Choice("1", reason=f"1: the model computes on {probe.device}")
    if memory is None:
        return Choice("1", reason="1: by rule")
    counts = thread_counts(most)
    if len(counts) == 1:
        return Choice("1", reason="1: no more are to be had")
    if probe.flops < SMALL_FLOPS:
        return Choice("1", reason=f"1: {probe.flops * 1e-6:.2g} MFLOP of a batch are too few to share")
    return memory.choice(
        "threads",
        (precision, probe.key),
        tuple(map(str, counts)),
        lambda: _measure(probe, precision, counts),
        confirm=lambda earlier: _measure(probe, precision, counts, earlier=int(earlier.value)),
    )


def thread_counts(most: int) -> tuple[int, ...]:
    """Return the numbers of threads to choose from: ``most``, its half, and so on down to one."""
    counts = [max(1, most)]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return tuple(counts)


def _measure(probe: Probe, precision: str, counts: tuple[int, ...], *, earlier: int = 0) -> Choice:
    """Halve the threads for as long as the other half does not pay; ``earlier`` is what was found so, 0: nothing."""
    step = probe.step(precision=precision, layout="contiguous")
    arms: Mapping[str, Callable[[], None]] = {str(count): partial(_on_threads, count, step) for count in counts}
    gain = 1.0
    for count, half in pairwise(counts):
        seconds = probe.compare({str(n): arms[str(n)] for n in (half, count)}, budget_s=BUDGET_S)
        gain = seconds[str(half)] / seconds[str(count)]
        said = f"{count} measured {gain:.2f}x {half}"
        if gain >= _needed(count, earlier):
            return Choice(str(count), gain, f"{count}: {said}")
    return Choice("1", 1.0 / gain, f"1: {said}")


def _needed(count: int, earlier: int) -> float:
    if not earlier:
        return CLEAR_GAIN
    return STILL_GAINS if count <= earlier else CONTRADICTS


def _on_threads(count: int, step: Callable[[], None]) -> None:
    with thread_count(count):
        step()
