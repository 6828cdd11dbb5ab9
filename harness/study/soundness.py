"""What is read back of a trial is taken up only if a search of this space could have left it.

A run folder may come from anyone. What its study and its checkpoints say goes into samplers, tables and the final
model, so it is looked at before any of that, and before anything of the run is removed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.errors import StorageError
from harness.records import PREDICTED, EpochRecord, Outcome, Plan, TrialRecord
from harness.spec import Spec, candidate_at
from harness.spec.candidate import completed
from harness.store import StoredTrial
from harness.store.connection import DAMAGED
from harness.study.decide.protocol import Known
from harness.study.decide.suggest import locate
from harness.study.folds import in_order
from harness.study.objectives import Objective

COUNTS = range(2**31)
"""Epochs, attempts, samples, threads: no trial has more."""
SEEDS = range(2**63)
YEAR_9999 = 253402300800.0
"""In Unix seconds; after it there are no dates."""


def check_result(
    run: Path,
    stored: StoredTrial,
    record: TrialRecord,
    epochs: Sequence[EpochRecord],
    objectives: Sequence[Objective],
) -> None:
    """Raise :class:`StorageError` unless the record may be how a stored trial ended."""
    flaw = _flaw(_record_claims(stored, record, epochs, objectives))
    if flaw := flaw or epochs_flaw(stored.number, epochs, objectives[0].metric):
        raise StorageError(f"{run}: the record of trial {stored.number} is damaged: {flaw}; {DAMAGED}")


def check_candidates(run: Path, spec: Spec, trials: Sequence[Known]) -> None:
    """Raise :class:`StorageError` unless every trial is a point of the space, and its record of the candidate there."""
    for number, trial in enumerate(trials):
        try:
            locate(spec.group, trial.params)
        except ValueError as error:
            raise StorageError(
                f"{run}: trial {number} is not of this space: {error}; was the run folder changed?"
            ) from None
        candidate = candidate_at(spec, trial.params).as_dict()
        if trial.result and _text(completed(trial.result.record.candidate)) != _text(candidate):
            raise StorageError(f"{run}: the record of trial {number} is damaged: it has another candidate; {DAMAGED}")


def epochs_flaw(trial: int, epochs: Sequence[EpochRecord], metric: str) -> str:
    """Return what shows that these are not the first epochs of a trial that is judged by ``metric``, or ``""``."""
    return _flaw(
        {
            "an epoch is another trial's": any(epoch.trial != trial for epoch in epochs),
            "its epochs are not the first ones": not in_order(epochs),
            f"an epoch lacks its {metric}": not _finite(epoch.validation.get(metric, math.nan) for epoch in epochs),
        }
    )


def plan_flaw(plan: Plan) -> str:
    """Return what no plan says, or ``""``."""
    return _flaw(
        {
            f"a batch size of {plan.batch_size}": plan.batch_size not in COUNTS[1:],
            f"a micro-batch of {plan.micro_batch}": not 0 <= plan.micro_batch <= max(0, plan.batch_size),
            f"at most {plan.most_epochs} epochs": plan.most_epochs not in COUNTS,
            f"{plan.threads} threads": plan.threads not in COUNTS[1:],
        }
    )


def _record_claims(
    stored: StoredTrial, record: TrialRecord, epochs: Sequence[EpochRecord], objectives: Sequence[Objective]
) -> Mapping[str, bool]:
    complete = record.outcome is Outcome.COMPLETE
    whole = record.best_epoch > 0 and record.plan is not None and len(record.values) == len(objectives)
    begun, spent = record.started_unix_s, (record.seconds, record.lost_s)
    return {
        "it is another trial's": record.trial != stored.number or record.params != stored.params,
        "it is the repeat of a later trial": record.same_as is not None and record.same_as not in range(record.trial),
        "it miscounts its epochs": record.epochs != len(epochs) or record.best_epoch not in range(len(epochs) + 1),
        "it is not complete, and has values": not complete and record.values != (),
        "it is complete, and lacks a best epoch, a plan or a value": complete and not whole,
        f"its values are {list(record.values)}": not _finite(record.values),
        f"{record.attempts} attempts": record.attempts not in COUNTS,
        f"it shared its program with {record.shared_with} trials": record.shared_with not in COUNTS,
        f"a seed of {record.seed}": record.seed not in SEEDS,
        f"it took {record.seconds} s and {record.lost_s} s": any(s < 0 or math.isinf(s) for s in spent),
        f"it began at {begun} s": not math.isnan(begun) and not 0 <= begun < YEAR_9999,
        f"it predicts {_prediction_flaw(record.predicted)}": bool(_prediction_flaw(record.predicted)),
        f"its plan says {plan_flaw(record.plan) if record.plan else ''}": bool(record.plan and plan_flaw(record.plan)),
    }


def _prediction_flaw(predicted: Mapping[str, float]) -> str:
    """Return the first prediction that no gate makes, or ``""``; NaN says that there is none."""
    wrong = ((n, v) for n, v in predicted.items() if n not in PREDICTED or v < 0 or math.isinf(v))
    return next((f"a {name[:40]!r} of {value}" for name, value in wrong), "")


def _flaw(claims: Mapping[str, bool]) -> str:
    return next((claim for claim, holds in claims.items() if holds), "")


def _finite(values: Iterable[float]) -> bool:
    return all(map(math.isfinite, values))


def _text(candidate: Mapping[str, object]) -> str:
    """Return a candidate as text, in which tuples and lists are alike."""
    return json.dumps(candidate, sort_keys=True)
