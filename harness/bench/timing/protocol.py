"""How workloads are timed.

1. The first call is not counted: it compiles, tunes and allocates.
2. Warm up in blocks of calls until the medians of three in a row agree within 2 %, or a quarter of the time is gone.
3. Time blocks, at least three, in each of the rounds of a suite. All workloads of a group take turns, as many as there
   is memory for together: a slow spell falls on all of them, and the blocks of each spread over the time of the group.
4. Stop when half the width of the median's bootstrap interval is 1 % of it (2 % for macro-benchmarks), but not before
   half of the time, or at the cap. At three times the cap it ends even before the third block, and says so.

On CUDA calls are timed by events, each call of a micro-benchmark after its data was flushed from the L2 cache. The
figure is the median over the blocks of their medians. Energy is measured in a stretch of its own, as meters are slow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from harness.bench.rows import Row
from harness.bench.timing.clocks import Clock
from harness.bench.timing.conditions import Watch
from harness.bench.timing.energy import ENERGY_S
from harness.bench.timing.timed import MIN_BLOCKS, Stage, Timed, used_mib
from harness.bench.workload import Group, Setting, Workload
from harness.hardware import free_mib
from harness.measure import free_memory

ENERGY_SHARE = 0.4
"""Most of a group's time in all rounds that goes to energy."""
LEAST_SHARE = 0.3
"""Of the time of workloads, what they have however long others took, and blocks however long it took to warm up."""
ROOM_SHARE = 0.5
"""Of the memory that a group found free, what is left free while its workloads are there: for what their work needs."""

_ANOTHER_ROUND = "measured in another round"


def run_group(group: Group, setting: Setting) -> Iterator[Row]:
    """Yield the rows of a group: first those that it measures itself, then those of its workloads."""
    start = time.perf_counter()
    workloads: list[Workload] = []
    for item in group(setting):
        if isinstance(item, Row):
            yield item
        else:
            workloads.append(item)
    yield from measure(workloads, setting, spent_s=time.perf_counter() - start)


def measure(
    workloads: Sequence[Workload], setting: Setting, *, spent_s: float = 0.0, watch: Watch | None = None
) -> Iterator[Row]:
    """Measure workloads in about the setting's seconds, of which ``spent_s`` are gone; yield a row for each.

    All are measured in turns; where they do not fit in memory together, as many at a time as do. ``watch`` is the
    device's own unless given.
    """
    if not workloads:
        return
    with watch or Watch(setting.device, idle=setting.idle) as watching:
        stage = Stage(setting, Clock(setting.device), watching, used_mib(setting.device))
        no_energy = _without_energy(workloads, stage)
        for_energy_s = ENERGY_S * sum(why in ("", _ANOTHER_ROUND) for why in no_energy.values()) / setting.rounds
        end_s = time.perf_counter() + setting.seconds - spent_s - for_energy_s
        least_s = LEAST_SHARE * setting.seconds / len(workloads)
        left = list(workloads)
        while left:
            share_s = max((end_s - time.perf_counter()) / len(left), least_s)
            start = time.perf_counter()
            runs = _warmed_up(left, stage, share_s)
            given_s = share_s * len(runs)
            timing_s = max(given_s - (time.perf_counter() - start), LEAST_SHARE * given_s)
            yield from _timed(runs, stage, timing_s, no_energy)
            end_s += ENERGY_S * sum(not no_energy[id(run.workload)] for run in runs)  # taken off already
            left = left[len(runs) :]


def _warmed_up(workloads: Sequence[Workload], stage: Stage, share_s: float) -> list[Timed]:
    """Warm up as many of the workloads, at least the first, as there is memory for together."""
    device, runs = stage.setting.device, list[Timed]()
    for workload in workloads:
        free_memory(device)
        if runs and free_mib(device) < ROOM_SHARE * stage.setting.memory_mib:
            break
        run = Timed(workload, stage)
        run.attempt(partial(run.warm_up, share_s))
        if run.status == "oom" and any(other.active for other in runs):
            break  # alone it may fit
        runs.append(run)
    free_memory(device)
    return runs


def _timed(runs: Sequence[Timed], stage: Stage, seconds: float, no_energy: dict[int, str]) -> Iterator[Row]:
    """Measure what is warmed up, in turns, and let go of it."""
    mark = stage.watch.begin()
    take_turns(runs, seconds)
    conditions = stage.watch.end(mark)
    for run in runs:
        if reason := no_energy[id(run.workload)]:
            run.no_energy(reason)
        elif run.status == "ok":
            run.attempt(run.measure_energy)
        run.free()
    yield from (run.row(conditions) for run in runs)


def take_turns(runs: Sequence[Timed], seconds: float) -> None:
    """Time a block of the run that is least far, until all have enough, in about so many seconds together.

    All advance alike, so that each one's blocks spread over the whole time.
    """
    start = time.perf_counter()
    share_s = fair_share([MIN_BLOCKS * run.block_s for run in runs if run.active], seconds)
    while active := [run for run in runs if run.active]:
        run = min(active, key=lambda run: run.progress(share_s))
        run.attempt(run.time_block)
        run.judge(run.progress(share_s), (time.perf_counter() - start) / seconds)


def fair_share(least_s: Sequence[float], seconds: float) -> float:
    """Return the time of each of several pieces of work, so that all end together after ``seconds``.

    A piece that takes longer at the least has what it takes, and the others share the rest: the sum of
    ``max(share, least)`` is ``seconds``. 0 where there is not even the least for all.
    """
    left_s = seconds
    for number, least in enumerate(sorted(least_s, reverse=True)):
        share_s = left_s / (len(least_s) - number)
        if least <= share_s:
            return share_s
        left_s -= least
    return 0.0


def _without_energy(workloads: Sequence[Workload], stage: Stage) -> dict[int, str]:
    """Return by the identity of each workload why its energy is not measured; empty: it is.

    Every round measures that of other rows. Where the rounds together have no time for all, the last are taken: the
    largest of a bench come last.
    """
    setting = stage.setting
    if setting.device.type != "cuda" or not stage.watch.metered:
        affordable, reason = 0, f"no energy meter for {setting.device}"
    elif setting.level == "quick":
        affordable, reason = 0, f"it takes {ENERGY_S:.0f} s, which the quick level does not have"
    else:
        affordable = int(ENERGY_SHARE * setting.seconds * setting.rounds / ENERGY_S)
        reason = f"it takes {ENERGY_S:.0f} s, which were given to other rows"
    wanted = [id(workload) for workload in workloads if workload.macro or workload.energy]
    chosen = wanted[max(0, len(wanted) - affordable) :]
    reasons = {id(workload): reason for workload in workloads}
    reasons |= dict.fromkeys(chosen, _ANOTHER_ROUND)
    return reasons | dict.fromkeys(chosen[setting.round :: setting.rounds], "")
