"""What using an architecture costs: the price that stands beside its quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from harness.records import Figures, TrialRecord, memory_mib
from harness.study.pareto import pareto_front

PRICES: Mapping[str, Callable[[TrialRecord], float]] = {
    "parameters": lambda record: record.figures.get("parameters", math.nan),
    "latency_ms": lambda record: record.figures.get("latency_p50_ms", math.nan),
    "throughput_per_s": lambda record: record.figures.get("inference_samples_s", math.nan),
    "memory_mib": lambda record: math.nan if record.shared_with else memory_mib(record.figures),
    "train_seconds": lambda record: record.seconds,
    "energy_j": lambda record: record.figures.get("energy_j", math.nan),
}
"""Each price of a winner, as a trial of it has it; the latency is the median of one sample, the memory the peak of the
training, seconds and energy those of one training with its validation. Of a program that trained several they are
shares; a share of its memory is no peak of anything."""

_REASONS = {
    "latency_ms": "latency_p50_ms",
    "throughput_per_s": "inference_samples_s",
    "memory_mib": "memory_rss_peak_mib",
}


def prices(records: Sequence[TrialRecord]) -> Figures:
    """Return the median of each price over a winner's trials; NaN, with a reason, where none of them has it."""
    values, reasons = {}, {}
    for name, price in PRICES.items():
        known = [found for record in records if math.isfinite(found := price(record))]
        values[name] = float(median(known)) if known else math.nan
        if not known:
            told = (_reason(name, record) for record in records)
            reasons[name] = next((reason for reason in told if reason), "not measured")
    return Figures(values, reasons)


def _reason(name: str, record: TrialRecord) -> str | None:
    if name == "memory_mib" and record.shared_with:
        return "trained in one program with others"
    return record.reasons.get(_REASONS.get(name, name))


def price_of(families: Sequence[Mapping[str, Any]]) -> str:
    """Return the price that families are ordered by: the latency, or parameters where not each has a latency."""
    known = all(family["latency_ms"] is not None and math.isfinite(family["latency_ms"]) for family in families)
    return "latency_ms" if known else "parameters"


def front(families: Sequence[Mapping[str, Any]], *, maximize: bool) -> list[str]:
    """Return who is on the Pareto front of mean quality against price, the best first."""
    price = price_of(families)
    rows = [[family["mean"], family[price]] for family in families]
    kept = [family for family, on in zip(families, pareto_front(rows, [maximize, False]), strict=True) if on]
    return [family["name"] for family in sorted(kept, key=lambda family: family["mean"], reverse=maximize)]


def cheapest_not_worse(
    families: Sequence[Mapping[str, Any]], worse: Callable[[str, str], bool], *, maximize: bool
) -> str:
    """Return the cheapest of those that are not detectably worse than the best mean.

    ``worse(a, b)`` tells whether ``a`` was found to be worse than ``b``. Of equal prices the better mean wins.
    """
    price, sign = price_of(families), 1.0 if maximize else -1.0
    best = max(families, key=lambda family: sign * family["mean"])["name"]
    kept = [family for family in families if not worse(family["name"], best)]
    return str(min(kept, key=lambda family: (family[price], -sign * family["mean"]))["name"])
