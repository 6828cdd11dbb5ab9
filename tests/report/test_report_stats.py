"""What a search writes into ``stats.json`` is what its report says."""

from __future__ import annotations

import json
import math

import pytest
import torch

from harness.data import load
from harness.records import Outcome, TrialRecord
from harness.spec import parse_spec
from harness.store import plain
from harness.study.job import Job
from harness.study.objectives import resolve_objectives
from harness.study.summary import summarise

SPACE = """
task: digits
objective: {f1_macro: maximize, latency_ms: minimize}
space: {architecture: {mlp: {depth: {int: [1, 3]}}}}
"""


def record(number, outcome="complete", **changes):
    fields = {"reason": "why", "candidate": {}, "params": {}, "seconds": 2.0, **changes}
    return TrialRecord(trial=number, outcome=Outcome(outcome), **fields)


@pytest.fixture(scope="module")
def summary():
    records = [
        record(0, values=(0.9, 5.0), figures={"parameters": 5.0, "value_se": 0.15}),
        record(1, values=(0.8, 1.0), lost_s=1.0, figures={"parameters": 9.0, "value_se": 0.15}),
        record(2, values=(0.9, 5.0), seconds=0.0, same_as=0),
        record(3, values=(0.7, 6.0)),
        record(4, "pruned"),
        record(5, "crashed", seconds=math.nan),
        record(6, "crashed", seconds=3.0),
    ]
    spec = parse_spec(SPACE, origin="space.yaml")
    dataset = load(spec.task, seed=0)
    job = Job(spec, dataset.training_data(), torch.device("cpu"), resolve_objectives(spec, dataset.shape.kind))
    by_number = {each.trial: each for each in records}
    stats = summarise(job, dataset, by_number, records[0], None, [], total=7, elapsed_s=12.0)
    return json.loads(json.dumps(plain(stats), allow_nan=False))


def test_trials_and_seconds_are_counted_by_outcome(summary):
    assert summary["outcomes"] == {"complete": 4, "pruned": 1, "crashed": 2}
    assert summary["seconds_by_outcome"] == {"complete": 6.0, "pruned": 2.0, "crashed": 3.0}


def test_the_ledger_goes_with_the_stats(summary):
    book = summary["ledger"]
    assert (book["device_s"], book["complete_s"], book["complete_share"]) == (12.0, 6.0, 0.5)
    assert book["trials_without_seconds"] == 1
    assert [row["what"] for row in book["rows"]] == ["complete", "pruned", "crashed", "lost", "saved by repeats"]
    assert book["rows"][-1]["device_s"] == 2.0


def test_a_repeated_trial_is_not_on_the_pareto_front_beside_its_original(summary):
    assert summary["best"]["pareto"] == [0, 1]


def test_what_is_tied_with_the_winner_is_told(summary):
    assert summary["best"]["tied"] == [0, 1]
    assert summary["best"]["standard_error"] == 0.15
