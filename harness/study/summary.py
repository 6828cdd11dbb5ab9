"""What ``stats.json`` says of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from harness.records import Outcome, TrialRecord
from harness.spec import size
from harness.study.final import Final
from harness.study.job import Job
from harness.study.objectives import pareto

SCHEMA_VERSION = 1


def best_trial(job: Job, records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the complete trial with the best first objective, the earliest of equals; None where none is complete."""
    sign = -1.0 if job.objectives[0].maximize else 1.0
    complete = [record for record in records if record.outcome is Outcome.COMPLETE]
    return min(complete, key=lambda record: (sign * record.values[0], record.trial), default=None)


def summarise(
    job: Job, records: Mapping[int, TrialRecord], final: Final | None, *, total: int, elapsed_s: float
) -> dict[str, Any]:
    """Return the contents of ``stats.json``."""
    dataset, spec = job.dataset, job.spec
    points = size(spec.group)
    outcomes: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for record in records.values():
        name = str(record.outcome)
        outcomes[name] = outcomes.get(name, 0) + 1
        seconds[name] = seconds.get(name, 0.0) + record.seconds
    return {
        "schema_version": SCHEMA_VERSION,
        "task": {
            "name": dataset.name,
            "kind": str(dataset.shape.kind),
            "classes": list(dataset.class_names),
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": dataset.test_size,
            "fingerprint": dataset.fingerprint,
            "notes": list(dataset.notes),
        },
        "objective": [{"metric": o.metric, "direction": o.direction} for o in job.objectives],
        "search": {
            "sampler": spec.search.sampler,
            "pruner": spec.search.pruner,
            "seed": spec.search.seed,
            "trials": total,
            "size": points if math.isfinite(points) else None,
        },
        "elapsed_s": elapsed_s,
        "outcomes": outcomes,
        "seconds_by_outcome": seconds,
        "best": _best(job, records),
        "test": final.as_dict() if final else None,
    }


def _best(job: Job, records: Mapping[int, TrialRecord]) -> dict[str, Any] | None:
    best = best_trial(job, records.values())
    if best is None:
        return None
    values = {r.trial: r.values for r in records.values() if r.outcome is Outcome.COMPLETE}
    return {
        "trial": best.trial,
        "candidate": dict(best.candidate),
        "params": dict(best.params),
        "values": list(best.values),
        "validation": dict(best.validation),
        "pareto": pareto(job.objectives, values),
    }
