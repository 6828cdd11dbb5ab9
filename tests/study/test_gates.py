import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from harness.errors import HardwareError, Interrupted, TimedOut
from harness.records import Figures, Outcome
from harness.spec import options_of
from harness.study.decide.points import middle_candidate
from harness.study.final.recipes import recipes
from harness.study.stop import Stop
from harness.study.trial.building import place_training, plan_training
from harness.study.trial.evaluate import JobWorkshop
from harness.study.trial.gates import Gates, check_time, probes
from harness.study.trial.probing import Prober, Steps
from harness.study.trial.step_clock import WARM_UP, StepClock


@pytest.fixture(autouse=True)
def no_memory(tmp_path, monkeypatch):
    """Each test measures for itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def bench(real):
    with real.bench() as evaluate:
        yield evaluate


@pytest.fixture
def evaluate(bench, monkeypatch):
    monkeypatch.setattr("harness.study.trial.probing.ENOUGH_S", 0.01)
    return bench


def never():
    """Do not stop."""


def candidate_of(job):
    return middle_candidate(job.spec, options_of(job.spec)[0])


def test_a_latency_beyond_the_limit_is_found_before_anything_is_placed_or_trained(real, evaluate, monkeypatch):
    def placed(*_arguments, **_options):
        raise AssertionError("samples were placed")

    monkeypatch.setattr("harness.study.trial.building.place", placed)
    ended = evaluate(real.job_of("limits.latency_ms=0.0001"))
    assert ended.outcome is Outcome.INFEASIBLE
    assert ended.record.reason.startswith("latency_ms predicted ")
    assert "> limit 0.0001 (+" in ended.record.reason
    assert ended.record.predicted["latency_ms"] > 0.0002
    assert ended.epochs == []


def test_what_keeps_the_limits_is_trained_and_its_prediction_kept(real, evaluate):
    limits = ["limits.latency_ms=1000", "limits.memory_mb=100000", "limits.train_seconds=1000", "limits.flops=1e9"]
    ended = evaluate(real.job_of(*limits))
    assert ended.outcome is Outcome.COMPLETE
    predicted = ended.record.predicted
    assert set(predicted) >= {"latency_ms", "memory_mb", "static_memory_mb", "epoch_s", "train_seconds"}
    assert predicted["train_seconds"] == pytest.approx(4 * predicted["epoch_s"])
    assert 100 < predicted["static_memory_mb"] < 100_000
    assert 0 < ended.record.figures["gate_s"] < ended.record.seconds
    assert ended.record.figures["epoch_s"] > 0


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("limits.flops=10", "flops 2,"),
        ("limits.memory_mb=1", "memory_mb predicted by its tensors "),
        ("limits.train_seconds=0.000001", "train_seconds predicted "),
    ],
)
def test_each_limit_rejects_with_its_prediction(real, evaluate, limit, said):
    ended = evaluate(real.job_of(limit))
    assert (ended.outcome, ended.epochs) == (Outcome.INFEASIBLE, [])
    assert ended.record.reason.startswith(said)


def test_a_limit_that_only_the_measurement_breaks_ends_a_trained_trial(real, evaluate, monkeypatch):
    monkeypatch.setattr("harness.study.trial.gates.measure_latency", fixed_latency(0.5))
    ended = evaluate(real.job_of("limits.latency_ms=0.9"))  # quick_speed measures 1 ms
    assert ended.outcome is Outcome.INFEASIBLE
    assert ended.record.reason == "latency_ms measured 1 > limit 0.9 (+11 %)"
    assert len(ended.epochs) == 4
    assert ended.weights == b""
    assert ended.record.values == ()


def fixed_latency(milliseconds):
    return lambda *_arguments, **_options: Figures({"latency_p50_ms": milliseconds})


def test_a_training_that_takes_longer_than_predicted_is_ended_at_its_limit(real, evaluate, monkeypatch):
    monkeypatch.setattr(Prober, "predict", lambda *_: {"epoch_s": 1e-9, "step_s": 1e-9, "memory_mb": math.nan})
    ended = evaluate(real.job_of("limits.train_seconds=0.0001"))
    assert ended.outcome is Outcome.INFEASIBLE
    assert ended.record.reason.startswith("train_seconds measured ")
    assert len(ended.epochs) == 1


def test_a_limit_on_energy_that_nothing_tells_is_said_before_the_search_begins(real):
    with pytest.raises(HardwareError, match=r"^limits\.energy_j_per_sample: cannot be checked on cpu: .*; remove this"):
        real.job_of("limits.energy_j_per_sample=1")


def test_energy_is_that_of_the_steps_that_went_through_meanwhile(real, monkeypatch):
    """A meter that tells 50 W, whatever is done."""
    monkeypatch.setattr("harness.study.trial.probing.ENERGY_S", 0.05)
    told = SimpleNamespace(window=lambda start_s, end_s: Figures({"energy_j": 50.0 * (end_s - start_s)}))
    job = real.job_of()
    plan = plan_of(job)
    steps = Prober(job, never, told)._steps(candidate_of(job), plan, 32)
    assert steps.energy_j_per_sample == pytest.approx(50.0 * steps.step_s / 32)
    predicted = Prober(job, never, told).predict(candidate_of(job), plan)
    assert predicted["energy_j_per_sample"] > 0
    assert math.isnan(Prober(job, never).predict(candidate_of(job), plan)["energy_j_per_sample"])


def test_nothing_is_probed_where_nothing_depends_on_it(real, evaluate, monkeypatch):
    monkeypatch.setattr(Prober, "predict", lambda *_: pytest.fail("was probed"))
    ended = evaluate(real.job_of())
    assert (ended.outcome, ended.record.predicted) == (Outcome.COMPLETE, {})
    assert not probes(real.job_of().spec)
    assert probes(real.job_of("budget.time=1h").spec)
    assert probes(real.job_of("limits.memory_mb=1").spec)


def test_gates_do_not_change_what_is_trained(real, evaluate):
    alone = "search.plan=safe"
    limited = evaluate(
        real.job_of(alone, "limits.latency_ms=1000", "limits.train_seconds=1000", "limits.memory_mb=1e6")
    )
    free = evaluate(real.job_of(alone))
    assert limited.weights == free.weights
    assert [epoch.validation for epoch in limited.epochs] == [epoch.validation for epoch in free.epochs]


def test_a_prediction_is_remembered(real, monkeypatch):
    job = real.job_of("limits.train_seconds=1000")
    gates = Gates(job, never)
    plan = plan_of(job)
    gates.before_training(candidate_of(job), plan)
    monkeypatch.setattr(Prober, "_steps", lambda *_: pytest.fail("was measured again"))
    again = Gates(job, never)
    again.before_training(candidate_of(job), plan)
    assert again.predicted["epoch_s"] == gates.predicted["epoch_s"]


def plan_of(job):
    candidate = candidate_of(job)
    return plan_training(job, candidate, job.dataset, place_training(job, candidate, job.dataset, seed=0))


def test_seconds_of_an_epoch_are_those_of_its_steps_of_its_end_and_of_validation(real, monkeypatch):
    """Straight lines through made-up steps: 2 ms and 0.1 ms a sample, in 120 - 24 = 96 samples less the held out."""
    job = real.job_of()
    plan = replace(plan_of(job), batch_size=20)
    candidate = candidate_of(job)
    samples, held_out = len(job.dataset.train), len(job.dataset.validation)

    def steps(_self, _candidate, _plan, batch):
        return Steps(batch, 2e-3 + 1e-4 * batch, 5e-3, 10.0 + batch, math.nan)

    monkeypatch.setattr(Prober, "_steps", steps)
    monkeypatch.setattr(Prober, "_validation", lambda *_: (1e-5, 3.0))
    predicted = Prober(job, never).predict(candidate, plan)
    whole, rest = divmod(samples, 20)
    expected = whole * 4e-3 + (2e-3 + 1e-4 * rest if rest else 0.0) + 5e-3 + held_out * 1e-5
    assert predicted["epoch_s"] == pytest.approx(expected)
    assert predicted["step_s"] == pytest.approx(4e-3)


@pytest.mark.parametrize(("batch", "measured_at"), [(64, [16, 64]), (3, [2, 3]), (2, [2]), (1, [1])])
def test_the_candidates_own_batch_is_measured_where_that_is_soon_done(real, monkeypatch, batch, measured_at):
    job = real.job_of()
    plan = replace(plan_of(job), batch_size=batch)
    asked = []

    def steps(_self, _candidate, _plan, size):
        asked.append(size)
        return Steps(size, 1e-4 * size, 0.0, 1.0, math.nan)

    monkeypatch.setattr(Prober, "_steps", steps)
    monkeypatch.setattr(Prober, "_validation", lambda *_: (0.0, 0.0))
    Prober(job, never).predict(candidate_of(job), plan)
    assert asked == measured_at


def test_a_batch_that_takes_long_is_extrapolated_from_half_of_it(real, monkeypatch):
    job = real.job_of()
    plan = replace(plan_of(job), batch_size=64)
    asked = []

    def steps(_self, _candidate, _plan, size):
        asked.append(size)
        return Steps(size, 0.1 * size, 0.0, 1.0, math.nan)

    monkeypatch.setattr(Prober, "_steps", steps)
    monkeypatch.setattr(Prober, "_validation", lambda *_: (0.0, 0.0))
    assert Prober(job, never).predict(candidate_of(job), plan)["step_s"] == pytest.approx(6.4)
    assert asked == [16, 32]


def test_the_clock_tells_steps_from_the_end_of_an_epoch(monkeypatch):
    now = iter([0.0, 9.0, 19.0, 20.0, 24.0, 25.0, 26.0, 30.0])  # two warm-up steps, then 1 s each and 4 s at an end
    monkeypatch.setattr("harness.study.trial.step_clock.time.perf_counter", lambda: next(now))
    clock = StepClock(torch.device("cpu"), steps_per_epoch=4, seconds=math.inf, check=never)
    for _ in range(8):
        clock()
    assert WARM_UP == 2
    assert clock.step_s == pytest.approx(1.0)
    assert clock.turn_s == pytest.approx(3.0)


def test_with_one_step_an_epoch_all_of_it_is_step(monkeypatch):
    now = iter([0.0, 1.0, 2.0, 5.0, 8.0])
    monkeypatch.setattr("harness.study.trial.step_clock.time.perf_counter", lambda: next(now))
    clock = StepClock(torch.device("cpu"), steps_per_epoch=1, seconds=math.inf, check=never)
    for _ in range(5):
        clock()
    assert (clock.step_s, clock.turn_s) == (3.0, 0.0)


def test_the_batch_size_is_settled_by_measuring_and_the_winner_keeps_it(real, evaluate, monkeypatch):
    monkeypatch.setattr(Prober, "step", lambda _self, _candidate, _plan, size: (1e-3 + 1e-6 * size, 1.0))
    monkeypatch.setattr("harness.study.trial.gates.sizes_for", lambda _samples: (8, 16, 32))
    monkeypatch.setattr("harness.study.trial.building.sizes_for", lambda _samples: (8, 16, 32))
    ended = evaluate(real.job_of("space.batch_size=auto"))
    assert ended.outcome is Outcome.COMPLETE
    assert ended.record.plan.batch_size == 32
    assert ended.record.candidate["batch_size"] == "auto"
    assert any(note.startswith("batch size 32: the smallest within 5 %") for note in ended.record.notes)


def test_a_size_that_breaks_the_memory_limit_does_not_fit(real, monkeypatch):
    job = real.job_of("space.batch_size=auto", "limits.memory_mb=100")
    monkeypatch.setattr(Prober, "step", lambda _self, _candidate, _plan, size: (1e-3, 10.0 * size))
    monkeypatch.setattr("harness.study.trial.gates.sizes_for", lambda _samples: (8, 16, 32))
    monkeypatch.setattr("harness.study.trial.building.sizes_for", lambda _samples: (8, 16, 32))
    settled, why = Gates(job, never).settle(candidate_of(job))
    assert settled.training.batch_size == 8
    assert "16 does not fit in memory or in its limit" in why


def test_where_the_system_keeps_no_peak_every_size_fits(real, monkeypatch):
    monkeypatch.setattr(Prober, "step", lambda _self, _candidate, _plan, size: (1e-3 * size, math.nan))
    monkeypatch.setattr("harness.study.trial.gates.sizes_for", lambda _samples: (8, 16, 32))
    monkeypatch.setattr("harness.study.trial.building.sizes_for", lambda _samples: (8, 16, 32))
    job = real.job_of("space.batch_size=auto")
    settled, why = Gates(job, never).settle(candidate_of(job))
    assert (settled.training.batch_size, "fit" in why) == (8, False)


def test_where_the_middle_size_cannot_even_be_planned_the_smallest_is(real, monkeypatch):
    planned = []
    plan = plan_of(real.job_of())

    def plan_training(_job, candidate, _dataset, _train, **_options):
        planned.append(candidate.training.batch_size)
        if len(planned) == 1:
            raise MemoryError("planted")
        return plan

    job = real.job_of("space.batch_size=auto")
    monkeypatch.setattr(Prober, "step", lambda _self, _candidate, _plan, _size: (1e-3, 1.0))
    monkeypatch.setattr("harness.study.trial.gates.sizes_for", lambda _samples: (8, 16, 32))
    monkeypatch.setattr("harness.study.trial.building.sizes_for", lambda _samples: (8, 16, 32))
    monkeypatch.setattr("harness.study.trial.gates.plan_training", plan_training)
    settled, _ = Gates(job, never).settle(candidate_of(job))
    assert planned == [16, 8]
    assert settled.training.batch_size == 32


def test_tensors_in_a_lower_precision_are_not_rejected_for_what_they_would_take_in_full(real, evaluate, monkeypatch):
    monkeypatch.setattr(Gates, "_static_memory_mb", lambda *_: 1e6)
    for precision, outcome in (("fp32", Outcome.INFEASIBLE), ("bf16", Outcome.COMPLETE)):
        ended = evaluate(real.job_of("limits.memory_mb=100000", f"training.precision={precision}"))
        assert ended.outcome is outcome
        assert ended.record.predicted["static_memory_mb"] == 1e6


def test_a_probe_hears_that_it_is_to_end(real):
    def stop():
        raise Interrupted("planted")

    job = real.job_of("limits.train_seconds=1000")
    with pytest.raises(Interrupted, match="planted"):
        Gates(job, stop).before_training(candidate_of(job), plan_of(job))


def test_a_rate_at_which_the_training_diverges_does_not_keep_it_from_being_probed(real):
    job = real.job_of("limits.train_seconds=1000", "space.optimizer={sgd: {lr: 100}}")
    gates = Gates(job, never)
    gates.before_training(candidate_of(job), plan_of(job))
    assert gates.predicted["epoch_s"] > 0


OWN = """
import torch

class Often(torch.nn.Module):
    def __init__(self, shape, times):
        super().__init__()
        self.times, self.layer = times, torch.nn.Linear(64, 64)
        self.last = torch.nn.Linear(64, shape.outputs)

    def forward(self, x_BCHW):
        x_BF = x_BCHW.flatten(1)
        for _ in range(self.times):
            x_BF = torch.tanh(self.layer(x_BF))
        return self.last(x_BF)

def build(shape, times):
    return Often(shape, times)
"""


def test_what_a_candidate_of_ones_own_takes_is_measured_each_time(real, monkeypatch, tmp_path):
    (tmp_path / "planted_of_gates.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    seconds = {}
    for times in (1, 60):
        job = real.own_job("limits.train_seconds=1000", module="planted_of_gates", times=times)
        gates = Gates(job, never)
        gates.before_training(candidate_of(job), plan_of(job))
        seconds[times] = gates.predicted["epoch_s"]
    assert seconds[60] > 2 * seconds[1], "their layers are the same, what they do with them is not"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_cuda_memory_and_energy_are_predicted_as_they_are_measured(real):
    limits = ("limits.memory_mb=10000", "limits.energy_j_per_sample=1000", "limits.latency_ms=1000")
    job = real.job_of(*limits, "space.batch_size=auto", device="cuda")
    with JobWorkshop(job, [job.device]).open(Stop(), threads=1) as trainer:
        (ended,) = trainer.evaluate((real.assignment(job),), real.Recorder())
    assert ended.outcome is Outcome.COMPLETE, ended.record.reason
    predicted, figures = ended.record.predicted, ended.record.figures
    assert predicted["memory_mb"] == pytest.approx(figures["memory_allocated_peak_mib"], rel=0.5)
    assert predicted["energy_j_per_sample"] > 0


def test_what_cannot_finish_in_the_trials_own_time_is_a_timeout_and_not_started(real, evaluate, monkeypatch):
    monkeypatch.setattr(Prober, "predict", lambda *_, **__: {"epoch_s": 100.0, "step_s": 1.0, "memory_mb": 1.0})
    ended = evaluate(real.job_of("budget.trial_time=50s"), time_s=50.0)
    assert (ended.outcome, ended.epochs) == (Outcome.TIMEOUT, [])
    assert ended.record.reason.startswith("not started: 4 epochs take about 400 s, and ")


def test_what_cannot_finish_in_the_time_of_the_run_stays_open_and_is_not_started(real, evaluate, monkeypatch):
    monkeypatch.setattr(Prober, "predict", lambda *_, **__: {"epoch_s": 100.0, "step_s": 1.0, "memory_mb": 1.0})
    ended = evaluate(real.job_of("budget.time=1h", "search.plan=safe"), left_s=300.0)
    assert (ended.outcome, ended.epochs) == (Outcome.INTERRUPTED, [])
    assert ended.record.reason.startswith("not started: 4 epochs take about 400 s, and ")
    patient = real.job_of("budget.time=1h", "search.plan=safe", "training.patience=1", "space.schedule=constant")
    assert evaluate(patient, left_s=300.0).outcome is Outcome.COMPLETE, "with patience it may end after two epochs"
    annealing = evaluate(real.job_of("budget.time=1h", "search.plan=safe", "training.patience=1"), left_s=300.0)
    assert annealing.outcome is Outcome.INTERRUPTED, "its schedule is gone to its end"
    short = evaluate(real.job_of("budget.time=1h", "search.plan=safe", "training.epochs=2"), left_s=300.0)
    assert short.outcome is Outcome.COMPLETE, "it has two epochs of its own"


def test_what_cannot_finish_is_trained_for_fewer_epochs_where_it_may_be(real, evaluate, monkeypatch):
    monkeypatch.setattr(Prober, "predict", lambda *_, **__: {"epoch_s": 100.0, "step_s": 1.0, "memory_mb": 1.0})
    job = real.job_of("budget.time=1h", "search.plan=safe", "space.schedule=cosine")
    shortened = evaluate(job, left_s=300.0, shorten=True)
    record = shortened.record
    assert (shortened.outcome, record.epochs, record.plan.most_epochs) == (Outcome.COMPLETE, 2, 2)
    assert record.reason == "trained for 2 of 4 epochs: there was no time for more"
    two = evaluate(real.job_of("budget.time=1h", "search.plan=safe", "space.schedule=cosine", "training.epochs=2"))
    assert [each.learning_rate for each in shortened.epochs] == [each.learning_rate for each in two.epochs]
    assert [each.validation for each in shortened.epochs] == [each.validation for each in two.epochs]
    assert all(each.schedule <= 2 for each in recipes(job, record)), "a refit is no longer"
    same = evaluate(job, plan=record.plan)
    assert [each.train for each in same.epochs] == [each.train for each in shortened.epochs], "its plan says so"
    assert evaluate(job, left_s=500.0, shorten=True).record.epochs == 4, "there is time for all"
    assert evaluate(job, left_s=120.0, shorten=True).outcome is Outcome.INTERRUPTED, "not even one with a margin"
    warm = real.job_of("budget.time=1h", "search.plan=safe", "space.schedule={cosine: {warmup_epochs: 2.0}}")
    assert evaluate(warm, left_s=300.0, shorten=True).outcome is Outcome.INTERRUPTED, "its rate would only rise"


def test_what_finishes_by_the_second_measurement_is_not_shortened(real, evaluate, monkeypatch):
    def predict(*_arguments, anew=False):
        return {"epoch_s": 100.0 if anew else 200.0, "step_s": 1.0, "memory_mb": 1.0}

    monkeypatch.setattr(Prober, "predict", predict)
    record = evaluate(real.job_of("budget.time=1h", "search.plan=safe"), left_s=450.0, shorten=True).record
    assert (record.epochs, record.plan.most_epochs) == (4, 0)


def test_what_would_not_finish_by_what_is_remembered_is_measured_again(real, evaluate, monkeypatch):
    monkeypatch.setattr(Prober, "remembered", lambda *_: dict.fromkeys(FIGURES, 25.0))
    ended = evaluate(real.job_of("budget.time=1h", "search.plan=safe"), left_s=300.0)
    assert ended.outcome is Outcome.COMPLETE, ended.record.reason
    assert 0.0 < ended.record.predicted["epoch_s"] < 25.0


FIGURES = ("fixed_s", "sample_s", "turn_s", "validation_sample_s", "memory_mib", "energy_j_per_sample")


@pytest.mark.parametrize(("trial_s", "run_s"), [(10.0, 10.0), (math.inf, 10.5)])
def test_what_can_finish_is_started(trial_s, run_s):
    check_time(1.0, 10, trial_s=trial_s, run_s=run_s)
    check_time(math.nan, 10, trial_s=0.1, run_s=0.1)


def test_the_trials_own_time_is_final_and_counts_first():
    with pytest.raises(TimedOut):
        check_time(1.0, 10, trial_s=9.0, run_s=1.0)
    with pytest.raises(Interrupted):
        check_time(1.0, 10, trial_s=11.0, run_s=1.0)


def test_what_steps_take_is_shared_by_data_of_any_size_that_fills_the_epoch_of_a_probe(real):
    whole = real.job_of("task={builtin: digits, limit: 800}", "space.batch_size=16")

    def key_of(samples):
        job = replace(whole, dataset=replace(whole.dataset, train=whole.dataset.train.first(samples)))
        return Prober(job, never).key(candidate_of(job), plan_of(job))

    few, many, more = map(key_of, (96, 256, 320))
    assert many == more
    assert few != many, "six batches lie on the device, and the turn of an epoch comes after six"
