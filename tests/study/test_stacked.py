"""Trials that are trained as one program: what is told of them, and that nothing depends on who came together."""

import math
from dataclasses import replace

import pytest

from harness.errors import StorageError
from harness.records import Named, Outcome
from harness.study.stop import Stop
from harness.study.trial.building import build_model
from harness.study.trial.evaluate import Evaluator
from harness.study.trial.stacked import key_of
from harness.train import read_facts

RATES = (0.02, 0.01, 0.003)


@pytest.fixture(scope="module")
def job(real):
    return real.job_of()


@pytest.fixture
def group(real, job):
    """Return assignments of several rates."""

    def make(*trials, **options):
        made = []
        for trial in trials:
            one = real.assignment(job, trial=trial, seed=trial, **options)
            optimizer = Named("adamw", {"lr": RATES[trial]})
            made.append(replace(one, candidate=replace(one.candidate, optimizer=optimizer)))
        return tuple(made)

    return make


@pytest.fixture(scope="module")
def evaluate(real):
    """Return a function that evaluates a group and returns what it left by trial."""
    with real.bench() as alone:
        sampler = alone.__closure__[0].cell_contents

        def evaluate(job, group, watcher=None, stop=None):
            found = Evaluator(job, sampler, stop or Stop()).evaluate(group, watcher or real.Recorder())
            return {evaluation.trial: evaluation for evaluation in found}

        yield evaluate


def test_a_trial_is_the_same_in_any_company(real, job, group, evaluate):
    together = evaluate(job, group(0, 1, 2))
    for trial in (0, 1, 2):
        (alone,) = evaluate(job, group(trial)).values()
        ended = replace(together[trial], record=replace(together[trial].record, shared_with=0))
        assert real.told(ended) == real.told(alone)
        assert ended.predictions
        assert (alone.outcome, alone.record.plan.arm) == (Outcome.COMPLETE, "stacked")
        assert together[trial].record.shared_with == 2
    assert len({evaluation.record.values for evaluation in together.values()}) > 1


def test_the_shares_add_up_to_the_program(job, group, evaluate, real):
    watcher = real.Recorder(at_report=lambda report: "enough" if report.epoch.trial == 1 else "")
    found = evaluate(job, group(0, 1, 2), watcher)
    pruned = found[1].record
    assert (pruned.outcome, pruned.reason, pruned.epochs, found[1].weights) == (Outcome.PRUNED, "enough", 1, b"")
    assert pruned.seconds < min(found[trial].record.seconds for trial in (0, 2))
    peaks = [evaluation.record.figures["memory_rss_peak_mib"] for evaluation in found.values()]
    assert 100.0 < sum(peaks) < 100_000.0
    assert max(peaks) < sum(peaks) / 2


def test_a_rung_leaves_what_each_goes_on_from(real, job, group, evaluate):
    whole = evaluate(job, group(0, 2))
    rung = evaluate(job, group(0, 2, until=2))
    assert {evaluation.record.epochs for evaluation in rung.values()} == {2}
    watcher = real.Recorder()
    resumed = tuple(replace(each, checkpoint=rung[each.trial].checkpoint) for each in group(0, 2))
    rest = evaluate(job, resumed, watcher)
    assert [real.told(rest[trial]) for trial in (0, 2)] == [real.told(whole[trial]) for trial in (0, 2)]
    assert sorted(report.epoch.epoch for report in watcher.reports) == sorted([1, 2, 3, 4] * 2)
    assert read_facts(rung[0].checkpoint)["caller"]["plan"]["arm"] == "stacked"


def test_a_request_to_stop_interrupts_all(real, job, group, evaluate):
    stop = Stop()
    watcher = real.Recorder(at_report=lambda _: stop.end("enough") or "")
    found = evaluate(job, group(0, 1), watcher, stop)
    assert {(each.outcome, each.record.reason) for each in found.values()} == {(Outcome.INTERRUPTED, "enough")}


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (MemoryError("no room"), Outcome.OOM, "out of memory: no room"),
        (RuntimeError("a kernel failed"), Outcome.CRASHED, "RuntimeError: a kernel failed"),
    ],
)
def test_what_ends_the_program_ends_its_trials(job, group, evaluate, monkeypatch, error, outcome, reason):
    def fail(_):
        raise error

    monkeypatch.setattr("harness.train.stack.stack.Network", fail)
    found = evaluate(job, group(0, 1))
    assert {(each.outcome, each.record.reason) for each in found.values()} == {(outcome, reason)}


def test_one_that_cannot_be_built_ends_alone(real, job, group, evaluate, monkeypatch):
    def build(job, candidate, data, seed):
        if candidate.optimizer.params["lr"] == RATES[1]:
            raise RuntimeError("no such layer")
        return build_model(job, candidate, data, seed)

    whole = evaluate(job, group(0, 2))
    monkeypatch.setattr("harness.study.trial.stacked.build_model", build)
    found = evaluate(job, group(0, 1, 2))
    assert (found[1].outcome, found[1].record.reason) == (Outcome.CRASHED, "RuntimeError: no such layer")
    for trial in (0, 2):
        ended = replace(found[trial], record=replace(found[trial].record, shared_with=1))
        assert real.told(ended) == real.told(whole[trial])


def test_what_is_not_measured_says_why(job, group, evaluate):
    reasons = evaluate(job, group(0))[0].record.reasons
    assert reasons["memory_allocated_peak_mib"].startswith("torch keeps no account of cpu memory")


def test_what_the_watcher_raises_is_no_fault_of_the_trials(real, job, group, evaluate):
    def fail(_):
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="the disk is full"):
        evaluate(job, group(0, 1), real.Recorder(at_report=fail))


def test_one_beyond_the_limits_ends_before_the_others_begin(real, group, evaluate):
    limited = real.job_of("limits={parameters: 100}")
    found = evaluate(limited, group(0, 1))
    assert {each.outcome for each in found.values()} == {Outcome.INFEASIBLE}
    assert {each.record.plan for each in found.values()} == {None}


@pytest.mark.parametrize(
    "overrides",
    [
        ["limits={latency_ms: 5}"],
        ["limits={memory_mb: 4000}"],
        ["objective={accuracy: maximize, memory_mb: minimize}"],
        ["space.batch_size=auto"],
        ["training={precision: fp32, ema: 0.9}"],
    ],
    ids=str,
)
def test_what_is_predicted_is_trained_alone(real, overrides):
    other = real.job_of(*overrides)
    assert key_of(other, real.assignment(other)) is None


def test_the_arm_is_kept(real, job, evaluate):
    stacked = real.assignment(job)
    assert key_of(job, stacked) is not None
    assert key_of(job, replace(stacked, micro_batch=8)) is None
    assert key_of(job, replace(stacked, time_s=60.0)) is None
    (found,) = evaluate(job, (stacked,)).values()
    assert key_of(job, replace(stacked, plan=found.record.plan)) is not None
    assert key_of(job, replace(stacked, plan=replace(found.record.plan, arm="alone"))) is None
    assert math.isnan(found.record.plan.precision_ratio)
