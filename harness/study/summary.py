"""What ``stats.json`` says of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.data import Dataset
from harness.records import Outcome, TrialRecord
from harness.spec import size
from harness.store import trials_frame
from harness.store.ledger import ledger
from harness.study.check import notes_on
from harness.study.decide.fixed import Replicate
from harness.study.decide.pruners import pruner_name
from harness.study.job import Job
from harness.study.objectives import pareto, tied
from harness.study.replicates import spread

SCHEMA_VERSION = 2


def summarise(
    job: Job,
    dataset: Dataset,
    records: Mapping[int, TrialRecord],
    best: TrialRecord | None,
    test: Mapping[str, Any] | None,
    baselines: Sequence[Mapping[str, Any]],
    *,
    total: int,
    elapsed_s: float,
) -> dict[str, Any]:
    """Return the contents of ``stats.json``."""
    spec = job.spec
    points = size(spec.group)
    book = ledger(trials_frame(records.values(), ()))
    outcomes = book.outcomes.set_index("what")
    return {
        "schema_version": SCHEMA_VERSION,
        "task": {
            "name": dataset.name,
            "kind": str(dataset.shape.kind),
            "classes": list(dataset.class_names),
            "train": len(dataset.train),
            "validation": sum(len(fold.validation) for fold in job.folds or (dataset,)),
            "test": dataset.test_size,
            "fingerprint": dataset.fingerprint,
            "notes": list(dataset.notes),
        },
        "objective": [{"metric": o.metric, "direction": o.direction} for o in job.objectives],
        "search": {
            "sampler": spec.search.sampler,
            "pruner": pruner_name(spec),
            "seed": spec.search.seed,
            "winner": spec.search.winner,
            "trials": total,
            "choices": "by rule" if spec.search.by_rule else "measured",
            "size": points if math.isfinite(points) else None,
            "notes": [*spec.notes, *notes_on(spec)],
        },
        "evaluation": spec.evaluation.model_dump(exclude_none=True),
        "elapsed_s": elapsed_s,
        "outcomes": outcomes["trials"].to_dict(),
        "seconds_by_outcome": outcomes["device_s"].to_dict(),
        "ledger": book.as_dict(),
        "best": _best(job, records, best),
        "test": test,
        "baselines": list(baselines),
    }


def told_of_search(stats: Mapping[str, Any], remarks: Sequence[str], ended_by: str) -> dict[str, Any]:
    """Return the contents of ``stats.json`` with how the trials came about, and what ended them early."""
    search = {**stats["search"], "notes": [*stats["search"]["notes"], *remarks]}
    return {**stats, "search": search | ({"ended_by": ended_by} if ended_by else {})}


def told_of_list(
    stats: Mapping[str, Any], replicates: Sequence[Replicate], records: Mapping[int, TrialRecord]
) -> dict[str, Any]:
    """Return the contents of ``stats.json`` of trials of a list: no search chose them, so none is a cheapest winner.

    Mean and standard deviation are told where all are of one candidate.
    """
    best = stats["best"]
    complete = {trial: each.validation for trial, each in records.items() if each.outcome is Outcome.COMPLETE}
    alike = all(each.params == replicates[0].params for each in replicates)
    told = {
        "trials": [{"trial": n, "seed": each.seed, "split": each.split} for n, each in enumerate(replicates)],
        "validation": spread(range(len(replicates)), complete) if alike else {},
        "test": {},
    }
    return {
        **stats,
        "search": {**stats["search"], "sampler": "none", "pruner": "none"},
        "best": {**best, "tied": [best["trial"]]} if best else None,
        "replicates": told,
    }


def _best(job: Job, records: Mapping[int, TrialRecord], best: TrialRecord | None) -> dict[str, Any] | None:
    if best is None:
        return None
    trained = [record for record in records.values() if record.same_as is None]
    values = {record.trial: record.values for record in trained if record.outcome is Outcome.COMPLETE}
    return {
        "trial": best.trial,
        "candidate": dict(best.candidate),
        "params": dict(best.params),
        "values": list(best.values),
        "standard_error": best.figures.get("value_se", math.nan),
        "tied": sorted(record.trial for record in tied(job.objectives, records.values())),
        "validation": dict(best.validation),
        "pareto": pareto(job.objectives, values),
    }
