"""Training steps and inference of the reference models, and the largest batch of each that fits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from harness.bench.macro.largest_batch import search
from harness.bench.macro.models import FULL, SMALL, flops, references
from harness.bench.macro.plan import affordable, predicted_seconds, seconds_for_timing, speeds_of
from harness.bench.macro.step import make_call, start_compiler
from harness.bench.macro.ways import case_for, unavailable, ways
from harness.bench.rows import Case, Row, skipped
from harness.bench.workload import Setting, Workload, groups

BATCHES = (1, 32, 256)
QUICK_BATCHES = (1, 32)
BENCHES = ("train_step", "inference")
SEARCH_SHARE = 0.5
"""Of the time of ``largest_batch`` that goes to the searches, the rest to the work at what they found."""


@groups.register("train_step")
def train_step(setting: Setting) -> Iterator[Workload | Row]:
    """Yield steps of training, each forward, loss, backward and AdamW, and rows for what cannot be done."""
    return _models("train_step", setting)


@groups.register("inference")
def inference(setting: Setting) -> Iterator[Workload | Row]:
    """Yield forward passes in evaluation mode, and rows for what cannot be done."""
    return _models("inference", setting)


@groups.register("largest_batch")
def largest_batch(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the largest batch of each model that fits, and the work at that batch where there is time for it."""
    started_s = time.monotonic()
    if obstacle := _no_search(setting):
        yield skipped(Case(bench="largest_batch", threads=setting.threads), obstacle)
        return
    eager = [way for way in ways(setting) if not way.compile and not way.channels_last]
    asked = eager if setting.level == "full" and setting.device.type == "cuda" else eager[:1]
    searches = [case_for(bench, name, 1, way, setting) for way, bench, name in product(asked, BENCHES, FULL)]
    found: list[Case] = []
    for number, case in enumerate(searches):
        left_s = SEARCH_SHARE * setting.seconds - (time.monotonic() - started_s)
        row = search(case, setting, seconds=max(left_s, 0.0) / (len(searches) - number))
        yield row
        if row.status == "ok":
            found.append(replace(case, batch=int(row.facts["batch"])))
    yield from _in_time(found, setting, started_s)


def _models(bench: str, setting: Setting) -> Iterator[Workload | Row]:
    started_s = time.monotonic()
    yield from unavailable(bench, setting)
    names = SMALL if setting.level == "quick" and setting.device.type == "cpu" else FULL
    batches = QUICK_BATCHES if setting.level == "quick" else BATCHES
    cases = [
        case_for(bench, name, batch, way, setting)
        for way, batch, name in product(ways(setting), batches, names)
        if way.suits(references[name])
    ]
    yield from _in_time(cases, setting, started_s)


def _in_time(cases: Sequence[Case], setting: Setting, started_s: float) -> Iterator[Workload | Row]:
    """Yield workloads for as many of the cases, the earlier first, as there is time for, and skipped rows for the rest.

    Every round chooses alike. What compiling takes is spread over the rounds, though most of it falls on the first.

    The workloads come by batch and model: the ways to do the same work are neighbours, which are measured in turns.
    """
    speeds = speeds_of(cases, setting)
    seconds = seconds_for_timing(setting, spent_s=time.monotonic() - started_s)
    needed = {case: predicted_seconds(case, speeds, rounds=setting.rounds) for case in cases}
    chosen = affordable(cases, lambda case: needed[case], seconds=seconds)
    for case in cases:
        if case not in chosen:
            yield skipped(case, f"no time at this level: it takes about {needed[case]:.1f} s of a round")
    if any(case.compile for case in chosen):
        start_compiler(setting.device)
    for case in sorted(chosen, key=lambda case: (case.batch, case.bench, case.variant)):
        yield _workload(case, setting)


def _workload(case: Case, setting: Setting) -> Workload:
    figure, source = flops(references[case.variant], batch=case.batch, training=case.bench == "train_step")
    return Workload(
        case=case,
        prepare=partial(make_call, case, device=setting.device, seed=setting.seed),
        samples=case.batch,
        flops=figure,
        flops_source=source,
        macro=True,
    )


def _no_search(setting: Setting) -> str:
    if setting.level == "quick":
        return "no time at this level"
    if setting.device.type not in ("cpu", "cuda"):
        return f"memory is not measured on {setting.device.type}"
    return ""
