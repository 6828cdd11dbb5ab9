"""Two runs side by side: for every case of both, which is faster, and whether that can be believed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.bench.comparison.differences import KINDS, Difference, Side, device_class, differences, run_differences
from harness.bench.comparison.runs import BenchRun, join_runs, load_bench
from harness.bench.comparison.verdict import (
    LEAST_BLOCKS,
    MACRO_BAND,
    MICRO_BAND,
    NORMAL_95,
    Estimate,
    Rounds,
    Verdict,
    best_round,
    estimate_rounds,
    scatter,
)
from harness.bench.rows import Case
from harness.errors import InputError, did_you_mean
from harness.records import NAN

MACRO = frozenset({"fetch", "inference", "largest_batch", "train_step"})
"""Benches of whole steps, whose band is the wider one."""
ENDED_BADLY = ("failed", "oom")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """One case of both runs; times are medians of the best rounds in seconds, ratios are B over A."""

    case: Case
    verdict: Verdict
    estimate: Estimate
    a_s: float
    b_s: float
    clock_ratio: float = NAN
    """The ratio in cycles of the device's clock; NaN unless both runs know it."""
    differs: tuple[Difference, ...] = ()
    """What confounds it."""
    note: str = ""
    lost: bool = False
    """Whether A could do it, and B failed or ran out of memory."""

    @property
    def unjudged(self) -> bool:
        """Whether A has a time, but there was too little time for a verdict."""
        unknown = math.isnan(self.estimate.low) and not math.isnan(self.a_s)
        return unknown and not self.lost and self.verdict is Verdict.INCONCLUSIVE

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **dataclasses.asdict(self.case),
            "verdict": str(self.verdict),
            "ratio": self.estimate.ratio,
            "ratio_low": self.estimate.low,
            "ratio_high": self.estimate.high,
            "clock_normalised_ratio": self.clock_ratio,
            "a_s": self.a_s,
            "b_s": self.b_s,
            "differs": [dataclasses.asdict(each) for each in self.differs],
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class FamilyMean:
    """The geometric mean of a family's ratios; confounded rows are not in it."""

    family: str
    ratio: float
    rows: int
    confounded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two runs have to say to each other, as :func:`compare_bench` returns it.

    >>> comparison = compare_bench(a, b)
    >>> sum(map(comparison.count, Verdict)) == len(comparison.rows)
    True
    """

    a: BenchRun
    b: BenchRun
    rows: tuple[ComparedRow, ...]
    families: tuple[FamilyMean, ...]
    only_a: tuple[Case, ...]
    only_b: tuple[Case, ...]
    scatter: float
    """Standard deviation between the runs that widens every interval, on the logarithm of the ratio."""
    allowed: tuple[str, ...]
    """What differs between the runs and was allowed to, in words."""

    def regressions(self, limit: float) -> list[ComparedRow]:
        """Return the rows that are slower by more than the share ``limit``, interval and all, or that B lost.

        A limit below the band is honoured, so these need not all have the verdict ``slower``.
        """
        sound = (row for row in self.rows if row.verdict is not Verdict.CONFOUNDED)
        return [row for row in sound if row.lost or row.estimate.low > 1 + limit]

    def count(self, verdict: Verdict) -> int:
        """Return how many rows have this verdict."""
        return sum(row.verdict is verdict for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **{
                name: {"run": run.path, "device": run.device, "state": run.state}
                for name, run in (("a", self.a), ("b", self.b))
            },
            "verdicts": {str(verdict): self.count(verdict) for verdict in Verdict},
            "families": [dataclasses.asdict(each) for each in self.families],
            "rows": [row.as_dict() for row in self.rows],
            "only_a": [case.label for case in self.only_a],
            "only_b": [case.label for case in self.only_b],
            "scatter": self.scatter,
            "allowed": list(self.allowed),
        }


def compare_bench(a: Path, b: Path, *, allow: Collection[str] = ()) -> Comparison:
    """Compare run B with run A, row by row.

    ``allow`` names kinds of difference (:data:`KINDS`) that are part of the comparison, such as ``versions`` between
    two drivers. Raises :class:`InputError` when the runs are of devices that cannot be compared or have no case in
    common, and :class:`StorageError` where one is damaged.

    >>> comparison = compare_bench(a, b, allow=["versions"])
    >>> [row.case.label for row in comparison.regressions(0.05)]
    []
    """
    if unknown := sorted(set(allow) - set(KINDS)):
        raise InputError(f"unknown difference {unknown[0]!r} to allow{did_you_mean(unknown[0], KINDS)}")
    return compare_runs(load_bench(a), load_bench(b), allow=allow)


def compare_runs(a: BenchRun, b: BenchRun, *, allow: Collection[str] = ()) -> Comparison:
    """Compare two runs that were read; see :func:`compare_bench`."""
    if device_class(a.env) != device_class(b.env):
        raise InputError(
            f"{a.path} was measured on {a.described} and {b.path} on {b.described}: compare runs of one class of device"
        )
    pairs = join_runs(a, b)
    # What neither could do has nothing to be compared.
    compared = [pair for pair in pairs if "ok" in (a.rows[pair[0]]["status"], b.rows[pair[1]]["status"])]
    if not compared:
        raise InputError(f"{a.path} and {b.path} measured no case in common; measure both with the same options")
    generator = np.random.default_rng(0)
    rows = [_compared(a, b, pair, allow, generator) for pair in compared]
    between = _between(a, b, rows)
    judged = tuple(_judged(row, between) for row in rows)
    return Comparison(
        a=a,
        b=b,
        rows=judged,
        families=tuple(_families(judged)),
        only_a=tuple(case for case in a.rows if case not in {mine for mine, _ in pairs}),
        only_b=tuple(case for case in b.rows if case not in {other for _, other in pairs}),
        scatter=between,
        allowed=tuple(each.text for each in run_differences(a.env, b.env) if each.kind in allow),
    )


def _compared(
    a: BenchRun, b: BenchRun, pair: tuple[Case, Case], allow: Collection[str], generator: np.random.Generator
) -> ComparedRow:
    """Return a row whose verdict is still open, unless it is confounded."""
    mine, other = (Side(case, run.rows[case], run.env) for case, run in zip(pair, (a, b), strict=True))
    rounds_a, rounds_b = (run.rounds.get(case, ()) for case, run in zip(pair, (a, b), strict=True))
    a_s, b_s = (
        float(np.median(blocks)) if (blocks := best_round(rounds)[0]) else _number(side.row, "t_median_s")
        for rounds, side in ((rounds_a, mine), (rounds_b, other))
    )
    found = estimate_rounds(rounds_a, rounds_b, generator)
    if math.isnan(found.ratio):
        found = Estimate(b_s / a_s)
    known = () if math.isnan(found.ratio) else differences(mine, other)
    differs = tuple(each for each in known if each.kind not in allow)
    return ComparedRow(
        case=pair[0],
        verdict=Verdict.CONFOUNDED if differs else Verdict.INCONCLUSIVE,
        estimate=found,
        a_s=a_s,
        b_s=b_s,
        clock_ratio=found.ratio * _number(other.row, "sm_mhz_median") / _number(mine.row, "sm_mhz_median"),
        differs=differs,
        note=_note((mine, rounds_a), (other, rounds_b)),
        lost=mine.row["status"] == "ok" and other.row["status"] in ENDED_BADLY,
    )


def _note(*sides: tuple[Side, Rounds]) -> str:
    """Return why there is no verdict, where there is none."""
    rows = [(name, side.row) for name, (side, _) in zip("AB", sides, strict=True)]
    ends = [
        f"{name}: {row['status']}{f' ({note})' if (note := row.get('note')) and note == note else ''}"
        for name, row in rows
        if row["status"] != "ok"
    ]
    if ends:
        return "; ".join(ends)
    if any(math.isnan(_number(row, "t_median_s")) for _, row in rows):
        return "no time; " + ", ".join(f"{name}: {row['facts']}" for name, row in rows)
    best = [best_round(rounds) for _, rounds in sides]
    blocks = [len(each) for each, _ in best]
    if min(blocks) < LEAST_BLOCKS:
        return f"no interval: {blocks[0]} and {blocks[1]} blocks in the best round, of at least {LEAST_BLOCKS} each"
    alone = [name for name, (_, apart) in zip("AB", best, strict=True) if math.isnan(apart)]
    return f"no interval: one round only in {' and '.join(alone)}" if alone else ""


def _between(a: BenchRun, b: BenchRun, rows: list[ComparedRow]) -> float:
    """Return the scatter between the runs; two models of a device differ from row to row by their nature."""
    if a.device != b.device:
        return 0.0
    return scatter([row.estimate for row in rows if row.verdict is not Verdict.CONFOUNDED])


def _judged(row: ComparedRow, between: float) -> ComparedRow:
    widened = row.estimate.widened(NORMAL_95 * between)
    if row.verdict is Verdict.CONFOUNDED:
        return dataclasses.replace(row, estimate=widened)
    band = MACRO_BAND if row.case.bench in MACRO else MICRO_BAND
    return dataclasses.replace(row, estimate=widened, verdict=widened.verdict(band))


def _families(rows: tuple[ComparedRow, ...]) -> Iterator[FamilyMean]:
    for family in dict.fromkeys(row.case.family for row in rows):
        known = [row for row in rows if row.case.family == family and not math.isnan(row.estimate.ratio)]
        sound = [row.estimate.ratio for row in known if row.verdict is not Verdict.CONFOUNDED]
        mean = math.exp(sum(map(math.log, sound)) / len(sound)) if sound else NAN
        yield FamilyMean(family, mean, len(sound), len(known) - len(sound))


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and value > 0 else NAN
