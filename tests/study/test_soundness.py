"""A record is taken up only if a search of the space could have left it; each way to be none has its own words."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import StorageError
from harness.records import NAN, EpochRecord, Outcome, Plan, TrialRecord
from harness.spec import candidate_at, parse_spec
from harness.store import StoredTrial
from harness.study.decide.protocol import Known, Result
from harness.study.objectives import Objective
from harness.study.soundness import check_candidates, check_result

SPEC = parse_spec(
    """
task: digits
objective: [accuracy, parameters]
space:
  architecture: {mlp: {depth: {int: [0, 4]}}, cnn: {}}
  batch_size: [64, 128]
""",
    origin="x",
)
RUN = Path("results") / "run"
OBJECTIVES = [Objective("accuracy", maximize=True), Objective("parameters", maximize=False)]
PARAMS = {"architecture": "mlp", "architecture.mlp.depth": 2, "batch_size": 64}
PLAN = Plan(
    device="cpu",
    precision="fp32",
    precision_ratio=NAN,
    precision_reason="",
    batch_size=64,
    layout="contiguous",
    layout_reason="",
    data_path="resident",
    data_reason="",
    threads=1,
)
EPOCHS = [
    EpochRecord(
        trial=4,
        epoch=epoch,
        train={},
        validation=dict.fromkeys(("loss", "accuracy", "f1_macro"), 0.5),
        learning_rate=0.1,
        gradient_norm=1.0,
        train_s=1.0,
        validation_s=NAN,
        train_samples_s=1.0,
    )
    for epoch in (1, 2, 3)
]
RECORD = TrialRecord(
    trial=4,
    outcome=Outcome.COMPLETE,
    reason="trained for all 3 epochs",
    candidate=candidate_at(SPEC, PARAMS).as_dict(),
    params=PARAMS,
    values=(0.5, 1000.0),
    seed=2**63 - 1,
    epochs=3,
    best_epoch=2,
    plan=PLAN,
    seconds=2.0,
    started_unix_s=1.8e9,
)


def check(record, epochs=EPOCHS):
    check_result(RUN, StoredTrial(4, PARAMS, {}, "text"), record, epochs, OBJECTIVES)


SOUND = {
    "complete": (RECORD, EPOCHS),
    "of unknown times": (replace(RECORD, seconds=NAN, started_unix_s=NAN), EPOCHS),
    "a repeat": (replace(RECORD, same_as=3, seconds=0.0), EPOCHS),
    "in parts": (replace(RECORD, plan=replace(PLAN, micro_batch=8), attempts=3, lost_s=9.0), EPOCHS),
    "predicted": (replace(RECORD, predicted={"latency_ms": 0.0, "memory_mb": NAN, "train_seconds": 1e9}), EPOCHS),
    "paused": (replace(RECORD, outcome=Outcome.PRUNED, values=(), epochs=1, best_epoch=1), EPOCHS[:1]),
    "infeasible": (replace(RECORD, outcome=Outcome.INFEASIBLE, values=(), epochs=0, best_epoch=0, plan=None), []),
    "lost": (replace(RECORD, outcome=Outcome.CRASHED, values=(), best_epoch=0, plan=None), EPOCHS),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_a_search_leaves_is_taken_up(case):
    check(*SOUND[case])


DAMAGED = {
    "another's": ({"trial": 3}, "another trial's"),
    "none's": ({"trial": -1}, "another trial's"),
    "other parameters": ({"params": {**PARAMS, "batch_size": 128}}, "another trial's"),
    "no parameters": ({"params": {}}, "another trial's"),
    "NaN objective": ({"values": (0.5, NAN)}, r"values are \[0.5, nan\]"),
    "infinite objective": ({"values": (float("-inf"), 1.0)}, "values are"),
    "no objective": ({"values": ()}, "lacks a best epoch, a plan or a value"),
    "one objective of two": ({"values": (0.5,)}, "lacks a best epoch, a plan or a value"),
    "three objectives of two": ({"values": (0.5, 1.0, 1.0)}, "lacks a best epoch, a plan or a value"),
    "complete without a best epoch": ({"best_epoch": 0}, "lacks a best epoch, a plan or a value"),
    "complete without a plan": ({"plan": None}, "lacks a best epoch, a plan or a value"),
    "a crash with a value": ({"outcome": Outcome.CRASHED}, "not complete, and has values"),
    "more epochs": ({"epochs": 10**9}, "miscounts its epochs"),
    "fewer epochs": ({"epochs": 2}, "miscounts its epochs"),
    "a best epoch beyond the last": ({"best_epoch": 4}, "miscounts its epochs"),
    "a best epoch below zero": ({"best_epoch": -1}, "miscounts its epochs"),
    "a repeat of itself": ({"same_as": 4}, "repeat of a later trial"),
    "a repeat of none": ({"same_as": -1}, "repeat of a later trial"),
    "a huge seed": ({"seed": 2**63}, "seed of"),
    "a seed below zero": ({"seed": -1}, "seed of -1"),
    "huge attempts": ({"attempts": 2**62}, "attempts"),
    "a time below zero": ({"seconds": -1.0}, "it took -1.0 s"),
    "a loss without end": ({"lost_s": float("inf")}, "and inf s"),
    "before all time": ({"started_unix_s": -1e28}, "it began at"),
    "after all time": ({"started_unix_s": float("inf")}, "it began at"),
    "a prediction below zero": ({"predicted": {"latency_ms": -1.0}}, "it predicts a 'latency_ms' of -1.0"),
    "a prediction without end": ({"predicted": {"epoch_s": float("inf")}}, "it predicts a 'epoch_s' of inf"),
    "a prediction of minus infinity": ({"predicted": {"epoch_s": float("-inf")}}, "it predicts a 'epoch_s' of -inf"),
    "a prediction of what none predicts": ({"predicted": {"a\nb": 1.0}}, r"it predicts a 'a\\nb' of 1.0"),
    "no thread": ({"plan": replace(PLAN, threads=0)}, "plan says 0 threads"),
    "huge threads": ({"plan": replace(PLAN, threads=10**30)}, "threads"),
    "a huge batch": ({"plan": replace(PLAN, batch_size=2**40)}, "batch size"),
    "an empty batch": ({"plan": replace(PLAN, batch_size=0)}, "batch size of 0"),
    "a part of less than nothing": ({"plan": replace(PLAN, micro_batch=-1)}, "micro-batch of -1"),
    "a part of more than the batch": ({"plan": replace(PLAN, micro_batch=65)}, "micro-batch of 65"),
}


def is_refused(record, epochs, words):
    with pytest.raises(StorageError, match=words) as caught:
        check(record, epochs)
    assert str(caught.value).startswith(f"{RUN}: the record of trial 4 is damaged: ")
    assert str(caught.value).endswith("; restore it from a copy, or start a new run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", DAMAGED)
def test_what_no_search_leaves_is_refused(case):
    changes, words = DAMAGED[case]
    is_refused(replace(RECORD, **changes), EPOCHS, words)


EPOCHS_OF_NONE = {
    "left out": ([EPOCHS[0], replace(EPOCHS[1], epoch=3), EPOCHS[2]], "not the first ones"),
    "from zero": ([replace(EPOCHS[0], epoch=0), *EPOCHS[1:]], "not the first ones"),
    "in another order": ([EPOCHS[1], EPOCHS[0], EPOCHS[2]], "not the first ones"),
    "huge": ([*EPOCHS[:2], replace(EPOCHS[2], epoch=10**30)], "not the first ones"),
    "of another": ([*EPOCHS[:2], replace(EPOCHS[2], trial=5)], "an epoch is another trial's"),
    "without the metric": ([*EPOCHS[:2], replace(EPOCHS[2], validation={"loss": 1.0})], "lacks its accuracy"),
    "not measured": ([*EPOCHS[:2], replace(EPOCHS[2], validation={"accuracy": NAN})], "lacks its accuracy"),
}


@pytest.mark.parametrize("case", EPOCHS_OF_NONE)
def test_epochs_that_no_trial_has_are_refused(case):
    is_refused(RECORD, *EPOCHS_OF_NONE[case])


def test_the_candidate_is_the_one_of_the_parameters():
    def known(params=PARAMS, **changes):
        return [Known(PARAMS, None), Known(params, Result(replace(RECORD, **changes), EPOCHS))]

    check_candidates(RUN, SPEC, known())
    for candidate in ({}, {**RECORD.candidate, "architecture": {"evil": {"family": "evil:build"}}}):
        with pytest.raises(StorageError, match="the record of trial 1 is damaged: it has another candidate"):
            check_candidates(RUN, SPEC, known(candidate=candidate))
    for params in ({}, {**PARAMS, "architecture.mlp.depth": 5}, {**PARAMS, "lr": 0.1}):
        with pytest.raises(StorageError, match=r"run: trial 1 is not of this space: parameter "):
            check_candidates(RUN, SPEC, known(params=params))
