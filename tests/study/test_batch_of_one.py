"""Batch norm and a single sample: left out where it is the last of an epoch, else an outcome that says what to do."""

import numpy as np
import pandas as pd
import pytest

import harness
from harness.records import Outcome

pytestmark = pytest.mark.usefixtures("without_charts")

PLANTED = {
    "planted_norm": """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, shape, limit):
        super().__init__()
        self.frozen = nn.BatchNorm1d(64)
        self.layers = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, shape.outputs))
        self.frozen.eval()
        self.limit = limit

    def forward(self, x):
        if self.training and len(x) > self.limit:
            raise MemoryError("planted")
        assert not self.frozen.training
        assert self.frozen.num_batches_tracked == 0
        return self.layers(self.frozen(x.flatten(1)))


def build(shape, limit=10**9):
    return Model(shape, limit)
"""
}
INFEASIBLE = (
    "batch size 1: batch norm takes its statistics from at least two samples at once; "
    "set batch_size to 2 or more, or norm to layer, group or none"
)


@pytest.fixture(scope="module")
def evaluate(real):
    with real.bench() as evaluate:
        yield evaluate


@pytest.mark.usefixtures("real")
@pytest.mark.slow
def test_a_last_batch_of_one_row_harms_nothing_and_a_batch_size_of_one_says_what_to_do(tmp_path):
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(300, 3)), columns=["x", "z", "y"]).to_csv(tmp_path / "d.csv", index=False)
    overrides = [
        f"task={{csv: {tmp_path / 'd.csv'}, target: y, split: {{validation: 0.15, test: 0.1}}}}",
        "space={architecture: {mlp: {depth: 1, width: 16, norm: batch}}, batch_size: [32, 1, 224]}",
        "search.sampler=grid",
        "budget.epochs=2",
        "objective=rmse",
    ]
    result = harness.search("digits", overrides=overrides, trials=3, out=tmp_path / "runs", workers=0)
    assert result.stats["task"]["train"] == 225
    trials = result.trials.set_index("param.batch_size")
    assert dict(trials["outcome"]) == {32: "complete", 224: "complete", 1: "infeasible"}
    assert trials.loc[1, "reason"] == INFEASIBLE
    assert result.test["rmse"] > 0


@pytest.mark.parametrize("time", ["budget.retries=1", "budget.time=1h"], ids=["trained", "probed"])
def test_a_batch_size_of_one_is_infeasible_wherever_it_is_found_out(real, evaluate, time):
    ended = evaluate(real.own_job(time, module="planted_norm", batch=1))
    assert (ended.outcome, ended.record.reason, ended.traceback) == (Outcome.INFEASIBLE, INFEASIBLE, "")


def test_an_image_has_statistics_of_its_own(real, evaluate):
    cnn = "space={architecture: {cnn: {stages: 1, width: 8, norm: batch}}, batch_size: 1}"
    assert evaluate(real.job_of(cnn, "budget.epochs=1")).outcome is Outcome.COMPLETE


def test_without_batch_norm_a_batch_size_of_one_is_trained(real, evaluate):
    layer = "space={architecture: {mlp: {depth: 1, width: 8, norm: layer}}, batch_size: 1}"
    assert evaluate(real.job_of(layer, "budget.epochs=1")).outcome is Outcome.COMPLETE


def test_where_one_sample_alone_fits_it_is_out_of_memory_and_says_why(real, evaluate):
    ended = evaluate(real.own_job(module="planted_norm", batch=8, limit=1))
    assert (ended.outcome, ended.traceback) == (Outcome.OOM, "")
    assert ended.record.reason == (
        "out of memory, and batch norm takes its statistics from at least two samples at once: planted"
    )


@pytest.mark.parametrize("batch", [6, 7, 33])
def test_parts_of_two_are_trained_though_the_batch_is_odd(real, evaluate, batch):
    ended = evaluate(real.own_job(module="planted_norm", batch=batch, limit=3), micro_batch=2)
    assert ended.outcome is Outcome.COMPLETE, ended.record.reason
    assert ended.record.plan.micro_batch == 2
    assert len(ended.epochs) == 4
