"""What ``stats.json`` says of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.records import Outcome, TrialRecord
from harness.spec import size
from harness.study.job import Job
from harness.study.objectives import pareto
from harness.study.pruners import pruner_name

SCHEMA_VERSION = 1


def summarise(
    job: Job,
    records: Mapping[int, TrialRecord],
    best: TrialRecord | None,
    test: Mapping[str, Any] | None,
    *,
    total: int,
    elapsed_s: float,
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
            "pruner": pruner_name(spec),
            "seed": spec.search.seed,
            "trials": total,
            "size": points if math.isfinite(points) else None,
        },
        "elapsed_s": elapsed_s,
        "outcomes": outcomes,
        "seconds_by_outcome": seconds,
        "best": _best(job, records, best),
        "test": test,
    }


def _best(job: Job, records: Mapping[int, TrialRecord], best: TrialRecord | None) -> dict[str, Any] | None:
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
