"""The limits of a space against what is known of a trial: predicted by a gate, or measured in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.errors import Infeasible
from harness.records import NAN, Outcome, TrialRecord, memory_mib
from harness.spec import Limits

UNDESIRABLE = (Outcome.INFEASIBLE, Outcome.OOM, Outcome.DIVERGED)
"""Outcomes that say something of the candidate: the sampler takes them for broken constraints, and keeps away."""

WHOLE = (Outcome.COMPLETE, Outcome.INFEASIBLE)
"""Outcomes of trials whose training seconds count as all that they take."""

COUNTED = ("parameters", "flops")
"""Limits on what is the same on every machine."""


def limits_of(limits: Limits) -> dict[str, float]:
    """Return the limits that are set, by name."""
    return {name: float(value) for name, value in limits.model_dump().items() if value is not None}


def measured(figures: Mapping[str, float], epochs: int) -> dict[str, float]:
    """Return the values that limits are about, as they were measured over so many epochs; NaN: not measured."""
    return {
        "parameters": figures.get("parameters", NAN),
        "flops": figures.get("flops", NAN),
        "latency_ms": figures.get("latency_p50_ms", NAN),
        "memory_mb": memory_mib(figures),
        "energy_j_per_sample": figures.get("energy_j_per_sample", NAN),
        "train_seconds": epochs * figures.get("epoch_s", NAN) if epochs else NAN,
    }


def check(limits: Limits, values: Mapping[str, float], how: str) -> None:
    """Raise :class:`Infeasible` for the first value beyond its limit; what is not known breaks none.

    ``how`` the values were found, ``predicted`` or ``measured``, is named with them.
    """
    for name, limit in limits_of(limits).items():
        value = values.get(name, NAN)
        if value > limit:
            known = f"{name} {how} " if name not in COUNTED else f"{name} "
            raise Infeasible(f"{known}{_number(value)} > limit {_number(limit)} ({100 * (value / limit - 1):+.0f} %)")


def constraints(limits: Limits, record: TrialRecord) -> dict[str, float]:
    """Return what a sampler is given of a trial's limits: at most 0 for what is kept, above by as much as it is broken.

    Each is the value over its limit, less 1; what was measured counts before what was predicted, and what is not known
    is 0. An outcome that says something against the candidate, and no limit does, is a broken constraint of its own.
    """
    found = measured(record.figures, record.epochs)
    if record.outcome not in WHOLE:
        del found["train_seconds"]  # of a part of the epochs
    values = {"memory_mb": record.predicted.get("static_memory_mb", NAN), **record.predicted}
    values |= {name: value for name, value in found.items() if not math.isnan(value)}
    margins = {name: values.get(name, limit) / limit - 1.0 for name, limit in limits_of(limits).items()}
    margins = {name: margin if math.isfinite(margin) else 0.0 for name, margin in margins.items()}
    if record.outcome in UNDESIRABLE and not any(margin > 0.0 for margin in margins.values()):
        margins[str(record.outcome)] = 1.0
    return margins


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
