"""Whatever a candidate does becomes an outcome with a reason, and the search goes on."""

import json

import pytest

import harness
from harness.errors import NoSuccessfulTrialError

pytestmark = pytest.mark.usefixtures("without_charts")

MODULE = """
import os
import time
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, shape, fault):
        super().__init__()
        self.linear = nn.Linear(64, shape.outputs)
        self.fault = fault

    def forward(self, x):
        outputs = self.linear(x.flatten(1))
        if self.training:
            match self.fault:
                case "crash":
                    raise KeyError("planted")
                case "out of memory":
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\\nmore")
                case "out of host memory":
                    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")
                case "nan":
                    outputs = outputs * float("nan")
                case "slow":
                    time.sleep(float(os.environ["STEP_S"]))
        return outputs


def build(shape, fault):
    return Model(shape, fault)
"""


@pytest.fixture
def search(tmp_path, monkeypatch):
    (tmp_path / "planted_faults.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*faults, **options):
        space = f"space={{architecture: {{mine: {{family: 'planted_faults:build', fault: {json.dumps(faults)}}}}}}}"
        overrides = [space, "budget.epochs=2", "search.sampler=grid", "search.baselines=false", "search.checks=false"]
        overrides += options.pop("overrides", [])
        options = {"workers": 0, **options}
        return harness.search("digits", overrides=overrides, out=tmp_path / "runs", trust=True, **options)

    return run


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        ("crash", "crashed", "KeyError: 'planted'"),
        ("nan", "diverged", "loss became NaN"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("out of memory", "oom", "not even one sample fits in memory: CUDA out of memory. Tried to allocate"),
                ("out of host memory", "oom", "not even one sample fits in memory: DefaultCPUAllocator"),
            )
        ),
    ],
)
def test_a_failing_candidate_does_not_end_the_search(search, fault, outcome, reason):
    result = search(fault, "none", trials=2)
    trials = result.trials.set_index("param.architecture.mine.fault")
    assert trials.loc["none", "outcome"] == "complete"
    assert trials.loc[fault, "outcome"] == outcome
    assert trials.loc[fault, "reason"].startswith(reason)
    assert "\n" not in trials.loc[fault, "reason"]
    assert trials.loc[fault, "seconds"] > 0
    assert result.best["trial"] == trials.loc["none", "trial"]
    log = result.run / "logs" / f"trial-{trials.loc[fault, 'trial']:06d}.txt"
    assert log.exists() == (outcome == "crashed")
    if log.exists():
        assert 'raise KeyError("planted")' in log.read_text()


@pytest.mark.slow
def test_a_trial_that_cannot_finish_in_the_time_is_not_started_and_taken_up_when_there_is_more(search, monkeypatch):
    monkeypatch.setenv("STEP_S", "0.2")
    said = "trial 0 interrupted: not started: 60 epochs take about "
    rising = "space.schedule={cosine: {warmup_epochs: 50.0}}"  # in fewer epochs than these nothing would be gained
    with pytest.raises(NoSuccessfulTrialError, match=said) as caught:
        search("slow", trials=1, timeout_s=30.0, overrides=["budget.epochs=60", rising])
    run = str(caught.value).partition(": ")[0]
    monkeypatch.setenv("STEP_S", "0")
    resumed = harness.search(resume=run, overrides=["budget.time=5m"], trust=True, workers=0)
    assert list(resumed.trials["outcome"]) == ["complete"]
    assert list(resumed.epochs["epoch"]) == [*range(1, 61)]


@pytest.mark.slow
def test_where_no_trial_can_finish_one_has_as_many_epochs_as_there_is_time_for(search, monkeypatch):
    monkeypatch.setenv("STEP_S", "0.2")
    result = search("slow", trials=1, timeout_s=60.0, overrides=["budget.epochs=60", "space.batch_size=256"])
    (trial,) = result.trials.to_dict("records")
    assert 1 <= trial["epochs"] == trial["most_epochs"] < 60
    assert trial["reason"] == f"trained for {trial['epochs']} of 60 epochs: there was no time for more"
    assert result.test["accuracy"] > 0.3
    assert harness.verify(result.run).state == "intact"
    assert str(harness.reproduce(result.run, trust=True).level) == "exact"


def test_the_record_of_a_failed_trial_says_what_is_known(search):
    trials = search("nan", "none", trials=2).trials.set_index("param.architecture.mine.fault")
    failed = trials.loc["nan"]
    assert failed["parameters"] == trials.loc["none", "parameters"] == 650
    assert failed["precision"] == "fp32"
    assert failed[["value", "validation_accuracy", "latency_p50_ms"]].isna().all()
    assert "power_w" in json.loads(trials.loc["none", "reasons"])
