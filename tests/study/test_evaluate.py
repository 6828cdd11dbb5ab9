"""A trial is one trial, however often it is broken off, whatever its checkpoint looks like and whatever it raises."""

import math
import os
import pickle
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from harness.errors import StorageError
from harness.hardware import Watched
from harness.plan.calibration import Choice
from harness.records import Figures, Outcome
from harness.study.execute.processes import LocalProcesses
from harness.study.stop import Stop
from harness.study.trial.evaluate import JobWorkshop
from harness.train import pack, read_facts, unpack

PLANTED = {
    "planted": """
import time
import torch
from torch import nn
from harness.errors import StorageError


class Model(nn.Module):
    def __init__(self, shape, fault, seconds):
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.last = nn.Linear(64, shape.outputs)
        self.fault, self.seconds = fault, seconds

    def forward(self, x):
        if self.training:
            time.sleep(self.seconds)
            if self.fault == "storage":
                raise StorageError("planted")
            if self.fault == "memory" and len(x) > 1:
                raise MemoryError
        return self.last(self.second(torch.relu(self.first(x.flatten(1)))))


def build(shape, fault="none", seconds=0.0):
    return Model(shape, fault, seconds)
"""
}


@pytest.fixture(scope="module")
def evaluate(real):
    """Return a function that evaluates an assignment of a job."""
    with real.bench() as evaluate:
        yield evaluate


@pytest.fixture(scope="module")
def job(real):
    return real.job_of()


@pytest.fixture(scope="module")
def whole(job, evaluate):
    """Return the evaluation of a trial that nothing broke off."""
    evaluation = evaluate(job)
    assert evaluation.outcome is Outcome.COMPLETE
    return evaluation


@pytest.fixture(scope="module")
def rung(job, evaluate):
    """Return the evaluation of its first stretch, which ends after two epochs."""
    return evaluate(job, until=2)


def changed(data, **caller):
    """Return a sound checkpoint with other facts of the trial."""
    tensors, facts = unpack(data)
    return pack(tensors, {**facts, "caller": {**facts["caller"], **caller}})


CNN = "space={architecture: {cnn: {stages: 1, width: 8, norm: batch}}, batch_size: 32, augment: {mixup: 0.4}}"
PATIENT = [
    "training.patience=2",
    "space.schedule=constant",
    "budget.epochs=30",
    "space.optimizer={sgd: {lr: 0.3}}",
    "space.batch_size=16",
]


AVERAGED = [
    "training={precision: fp32, ema: 0.8, swa: 0.7}",
    "space.optimizer=muon",
    "space.dropout_schedule=coslog4",
    "space.weight_decay_schedule=wsd",
]


@pytest.mark.parametrize(
    "overrides", [[], [CNN], PATIENT, AVERAGED], ids=["mlp", "cnn", "patience", "averaged weights"]
)
def test_a_trial_in_many_stretches_is_the_trial_in_one(real, evaluate, monkeypatch, overrides):
    layout = Choice("channels_last", reason="planted")
    monkeypatch.setattr("harness.plan.plan.choose_layout", lambda *_: layout)
    job = real.job_of(*overrides)
    whole = evaluate(job)
    assert whole.outcome is Outcome.COMPLETE
    assert whole.record.plan.layout == ("channels_last" if whole.record.plan.arm == "alone" else "contiguous")
    checkpoint, began, peaks = b"", math.inf, []
    for until in range(1, len(whole.epochs)):
        watcher = real.Recorder()
        stretch = evaluate(job, watcher, until=until, checkpoint=checkpoint)
        checkpoint = stretch.checkpoint
        assert (stretch.outcome, stretch.weights) == (Outcome.PRUNED, b"")
        assert watcher.epochs == [epoch.epoch for epoch in stretch.epochs] == list(range(1, until + 1))
        began = min(began, stretch.record.started_unix_s)
        peaks.append(stretch.record.figures["memory_rss_peak_mib"])
    last = evaluate(job, checkpoint=checkpoint)
    assert real.told(last) == real.told(whole)
    assert last.record.started_unix_s == began
    assert last.record.figures["memory_rss_peak_mib"] >= max(peaks)
    assert last.record.figures.keys() == whole.record.figures.keys()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="worker processes inherit descriptors")
def test_another_process_goes_on_the_same(real, job, whole, rung):
    workshop = JobWorkshop(job, (job.device,))
    executor = LocalProcesses(workshop, workers=1, threads=1, device="cpu")
    try:
        executor.submit((real.assignment(job, checkpoint=rung.checkpoint),))
        (ended,) = executor.wait(real.Recorder(), 60.0)
    finally:
        executor.close()
    assert real.told(ended) == real.told(whole)


def test_seconds_add_up_and_what_no_checkpoint_stands_for_is_lost(job, evaluate, rung):
    carried_s = read_facts(rung.checkpoint)["caller"]["seconds"]
    assert 0 < carried_s <= rung.seconds
    start = time.perf_counter()
    last = evaluate(job, checkpoint=rung.checkpoint, spent_s=rung.seconds + 7.0)
    own_s = time.perf_counter() - start
    assert carried_s < last.seconds <= carried_s + own_s
    assert last.record.lost_s == pytest.approx(rung.seconds + 7.0 - carried_s)
    later = evaluate(job, checkpoint=changed(rung.checkpoint, seconds=1000.0))
    assert 1000.0 < later.seconds < 1000.0 + own_s + 10.0


class Meter:
    """Reads the same power and memory until told otherwise."""

    names = ("power_w", "memory_device_mib", "temperature_c")

    def __init__(self):
        self.watts, self.mib = 300.0, 64.0

    def read(self):
        return Figures(
            {"power_w": self.watts, "memory_device_mib": self.mib, "temperature_c": math.nan},
            {"temperature_c": "broken"},
        )


def test_energy_adds_up_power_averages_over_time_and_memory_is_a_peak(real, job, scripted_sampler):
    meter = Meter()
    with real.bench(scripted_sampler(meter)) as evaluate:
        first = evaluate(job, until=2)
        first_s = read_facts(first.checkpoint)["caller"]["seconds"]
        meter.watts, meter.mib = 100.0, 32.0
        last = evaluate(job, checkpoint=first.checkpoint)
    figures, second_s = last.record.figures, last.seconds - first_s
    assert figures["energy_j"] == pytest.approx(300.0 * first_s + 100.0 * second_s, rel=0.25)
    assert figures["power_w"] == pytest.approx(figures["energy_j"] / last.seconds, rel=0.25)
    assert figures["memory_device_peak_mib"] == 64.0
    assert math.isnan(figures["temperature_c"])
    assert "temperature_c" in last.record.reasons


@pytest.fixture
def often(real, monkeypatch):
    """Return a job whose trials leave a checkpoint after every epoch, and a watcher that takes its time for it."""
    monkeypatch.setattr("harness.study.trial.pace.CHECKPOINT_SHARE", math.inf)
    return real.job_of("budget.checkpoint_time=0.001"), real.Recorder(at_report=lambda _: time.sleep(0.002) or "")


def test_a_trial_goes_on_from_each_of_its_checkpoints_to_the_same_end(real, evaluate, often, whole):
    job, watcher = often
    assert real.told(evaluate(job, watcher)) == real.told(whole)
    assert [trial for trial, _ in watcher.checkpoints] == [3, 3, 3]  # not after the last epoch
    for done, (_, checkpoint) in enumerate(watcher.checkpoints, start=1):
        again = real.Recorder(at_report=watcher.at_report)
        assert real.told(evaluate(job, again, checkpoint=checkpoint)) == real.told(whole)
        assert again.epochs == [1, 2, 3, 4]
        assert len(again.checkpoints) == 3 - done


def test_a_stretch_that_is_there_already_trains_nothing(real, job, evaluate, rung):
    assert real.told(evaluate(job, until=2, checkpoint=rung.checkpoint)) == real.told(rung)
    assert len(evaluate(job, until=1, checkpoint=rung.checkpoint).epochs) == 2


@pytest.mark.parametrize(
    ("every_s", "cost_s", "least", "most"),
    [(10.0, 0.0, 9, 10), (1.0, 2.0, 2, 4), (1.0, 0.1, 30, 50), (60.0, 0.1, 1, 1)],
)
def test_checkpoints_take_a_small_share_of_the_time(real, evaluate, monkeypatch, every_s, cost_s, least, most):
    now = [0.0]

    def pass_time(seconds, answer):
        now[0] += seconds
        return answer

    clock = SimpleNamespace(perf_counter=lambda: now[0], time=time.time)
    monkeypatch.setattr("harness.study.trial.pace.time", clock)
    job = real.job_of("budget.epochs=100", f"budget.checkpoint_time={every_s}", "space.batch_size=128")
    watcher = real.Recorder(lambda _: pass_time(1.0, ""), lambda _: pass_time(cost_s, None))
    evaluate(job, watcher)
    taken = len(watcher.checkpoints)
    assert least <= taken <= most
    assert (taken - 1) * cost_s <= 0.05 * now[0]


@settings(max_examples=8)
@given(where=st.floats(0, 1, exclude_max=True), tear=st.booleans())
def test_a_torn_or_changed_checkpoint_costs_time_and_nothing_else(real, job, evaluate, whole, rung, where, tear):
    data = bytearray(rung.checkpoint)
    at = int(where * len(data))
    if tear:
        del data[max(1, at) :]
    else:
        data[at] ^= 1
    assert_trained_anew(real, job, evaluate, whole, bytes(data))


def assert_trained_anew(real, job, evaluate, whole, checkpoint):
    watcher = real.Recorder()
    anew = evaluate(job, watcher, checkpoint=checkpoint, spent_s=5.0)
    assert real.told(anew, notes=False) == real.told(whole, notes=False)
    (note,) = set(anew.record.notes) - set(whole.record.notes)
    assert note.startswith("retrained: checkpoint ")
    assert "\n" not in note
    assert watcher.epochs == [1, 2, 3, 4]
    assert anew.record.lost_s == 5.0
    assert anew.seconds < 60.0


@pytest.mark.parametrize(
    "other",
    [{"trial": 4}, {"seed": 6}, {"overrides": ["space.architecture={mlp: {depth: 1, width: 17}}"]}],
    ids=["trial", "seed", "candidate"],
)
def test_the_checkpoint_of_another_trial_is_not_taken_up(real, job, evaluate, whole, other):
    theirs = real.job_of(*other.get("overrides", []))
    options = {key: value for key, value in other.items() if key != "overrides"}
    assert_trained_anew(real, job, evaluate, whole, evaluate(theirs, until=2, **options).checkpoint)


class Payload:
    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return open, (self.trace, "w")


def test_a_checkpoint_is_never_unpickled(real, job, evaluate, whole, tmp_path):
    trace = tmp_path / "trace"
    attack = pickle.dumps(Payload(trace))
    pickle.loads(attack).close()
    assert trace.exists(), "the payload works"
    trace.unlink()
    torch.save(Payload(trace), tmp_path / "saved.pt")
    for data in (attack, (tmp_path / "saved.pt").read_bytes()):
        assert_trained_anew(real, job, evaluate, whole, data)
    assert not trace.exists()


def nonsense(caller):
    """Return facts that no trial left, by what is wrong with them."""
    plan, (one, two) = caller["plan"], caller["epochs"]
    return {
        "nothing": {"plan": None},
        "another device": {"plan": {**plan, "device": "cuda:0"}},
        "no device": {"plan": {**plan, "device": "\0"}},
        "no threads": {"plan": {**plan, "threads": 0}},
        "negative samples": {"plan": {**plan, "micro_batch": -5}},
        "precision": {"plan": {**plan, "precision": "fp17"}},
        "missing epoch": {"epochs": [one]},
        "twice": {"epochs": [one, two, two]},
        "too many": {"epochs": [one, two, {**two, "epoch": 3}]},
        "of another trial": {"epochs": [one, {**two, "trial": 99}]},
        "unmeasured": {"epochs": [one, {**two, "validation": {}}]},
        "no time": {"seconds": math.nan},
        "before all time": {"seconds": -1e9},
    }


NONSENSE = list(nonsense({"plan": {}, "epochs": [{}, {}]}))


@pytest.mark.parametrize("case", NONSENSE)
def test_facts_that_make_no_sense_are_not_followed(real, job, evaluate, whole, rung, case):
    facts = nonsense(read_facts(rung.checkpoint)["caller"])[case]
    assert_trained_anew(real, job, evaluate, whole, changed(rung.checkpoint, **facts))


@pytest.mark.parametrize("best_epoch", [0, -1, 9])
def test_a_best_epoch_that_cannot_be_is_not_believed(real, job, evaluate, whole, rung, best_epoch):
    tensors, facts = unpack(rung.checkpoint)
    assert_trained_anew(real, job, evaluate, whole, pack(tensors, {**facts, "best_epoch": best_epoch}))


def test_threads_that_are_not_here_are_not_started(job, evaluate, rung):
    plan = read_facts(rung.checkpoint)["caller"]["plan"]
    last = evaluate(job, checkpoint=changed(rung.checkpoint, plan={**plan, "threads": 10**9}))
    assert last.outcome is Outcome.COMPLETE
    assert last.record.plan.threads <= os.cpu_count()


def test_a_note_stays_with_the_trial_over_its_next_stretch(job, evaluate, rung):
    first = evaluate(job, until=2, checkpoint=rung.checkpoint[:-1])
    assert any(note.startswith("retrained: ") for note in first.record.notes)
    assert evaluate(job, checkpoint=first.checkpoint).record.notes[:1] == first.record.notes[:1]


def test_the_watchers_verdict_prunes(real, job, evaluate, whole):
    watcher = real.Recorder(at_report=lambda report: "hopeless" if report.epoch.epoch == 2 else "")
    pruned = evaluate(job, watcher)
    assert (pruned.outcome, pruned.record.reason) == (Outcome.PRUNED, "hopeless")
    assert (pruned.weights, pruned.checkpoint, pruned.record.values) == (b"", b"", ())
    assert pruned.record.epochs == len(pruned.epochs) == 2
    assert pruned.record.validation == whole.epochs[pruned.record.best_epoch - 1].validation
    assert watcher.reports[0].figures["parameters"] == whole.record.figures["parameters"]


def fail(_):
    raise StorageError("the disk is full")


@pytest.mark.parametrize("where", ["at_report", "at_checkpoint"])
def test_what_the_watcher_raises_is_no_fault_of_the_candidate(evaluate, often, where):
    job, watcher = often
    setattr(watcher, where, fail)
    with pytest.raises(StorageError, match="the disk is full"):
        evaluate(job, watcher)


def test_the_same_error_raised_by_the_candidate_is_a_crash(real, evaluate):
    crashed = evaluate(real.own_job(fault="storage"))
    assert (crashed.outcome, crashed.record.reason) == (Outcome.CRASHED, "StorageError: planted")
    assert 'raise StorageError("planted")' in crashed.traceback


def test_a_request_to_stop_interrupts(real, job, evaluate):
    stop = Stop()
    watcher = real.Recorder(at_report=lambda _: stop.end("enough") or "")
    ended = evaluate(job, watcher, stop)
    assert (ended.outcome, ended.record.reason, len(ended.epochs)) == (Outcome.INTERRUPTED, "enough", 1)


def test_weights_in_any_layout_and_shared_ones_are_stored(real, evaluate, monkeypatch):
    tied = load(evaluate(real.own_job()).weights)
    assert torch.equal(tied["first.weight"], tied["second.weight"])
    monkeypatch.setattr("harness.plan.plan.choose_layout", lambda *_: Choice("channels_last", reason="planted"))
    weights = load(evaluate(real.job_of(CNN)).weights)
    assert {tensor.ndim for tensor in weights.values()} >= {1, 4}


def test_a_trial_ends_when_its_own_time_is_used_up(real, evaluate):
    job = real.own_job("budget.epochs=100000", seconds=0.01)
    ended = evaluate(job, time_s=1.0)
    assert (ended.outcome, ended.record.reason) == (Outcome.TIMEOUT, "the time of a trial, 1 s, was used up")
    assert 1.0 <= ended.seconds < 5.0
    assert len(ended.epochs) > 0
    assert ended.record.validation == ended.epochs[ended.record.best_epoch - 1].validation


def test_the_seconds_behind_a_checkpoint_count_towards_that_time(job, evaluate, rung):
    old = changed(rung.checkpoint, seconds=99.0)
    ended = evaluate(job, checkpoint=old, time_s=90.0)
    assert (ended.outcome, len(ended.epochs)) == (Outcome.TIMEOUT, 2)
    assert evaluate(job, checkpoint=old, time_s=160.0).outcome is Outcome.COMPLETE


def test_so_do_tries_that_ran_out_of_memory(real, evaluate):
    ended = evaluate(real.own_job(fault="memory", seconds=0.2), time_s=0.5)
    assert ended.outcome is Outcome.TIMEOUT
    assert 0.5 <= ended.seconds < 0.5 + 0.2 + 5.0
    assert ended.epochs == []


def test_a_candidate_beyond_the_limits_costs_no_data_placement(real, evaluate, monkeypatch):
    def placed(*_arguments, **_options):
        raise AssertionError("samples were placed")

    monkeypatch.setattr("harness.study.trial.building.place", placed)
    job = replace_spec(real.job_of(), parameters=100)
    ended = evaluate(job)
    assert ended.outcome is Outcome.INFEASIBLE
    assert ended.record.reason.startswith("parameters 1,2")
    assert "> limit 100 (+1" in ended.record.reason
    assert ended.record.plan is None
    assert ended.record.figures["parameters"] > 1000


def replace_spec(job, *, parameters):
    limits = job.spec.limits.model_copy(update={"parameters": parameters})
    return replace(job, spec=job.spec.model_copy(update={"limits": limits}))


def test_a_worker_begins_on_no_gpu_but_its_own(job, monkeypatch):
    """Torch takes the current GPU where it is told none, and by default that is the first."""
    told = []

    @contextmanager
    def device(chosen):
        told.append(chosen)
        yield
        told.append("given back")

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr("harness.study.trial.evaluate.meters_for", lambda _: Watched())
    devices = [torch.device("cuda", 0), torch.device("cuda", 1)]
    with JobWorkshop(job, devices).open(Stop(), threads=1, device=1):
        assert told == [devices[1]]
    assert told == [devices[1], "given back"]


def test_a_clock_that_is_set_back_does_no_harm(real, job, evaluate, monkeypatch):
    now = [time.time()]
    clock = SimpleNamespace(perf_counter=time.perf_counter, time=lambda: now[0])
    monkeypatch.setattr("harness.study.trial.progress.time", clock)

    def set_back(_):
        now[0] -= 3600.0
        return ""

    assert evaluate(job, real.Recorder(at_report=set_back)).outcome is Outcome.COMPLETE
