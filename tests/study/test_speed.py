"""The speed of an architecture is measured once, and by whom a search needs to know it."""

from dataclasses import replace

import pytest

from harness.plan import Memory
from harness.records import Figures
from harness.study.trial import speed

NAMES = ("inference_samples_s", "latency_p50_ms", "latency_p95_ms")


@pytest.fixture
def measured(monkeypatch):
    """The calls of what measures; each comes out differently."""
    calls = []

    def measure_inference(_model, _validation, _plan, **options):
        calls.append(options)
        return Figures(dict.fromkeys(NAMES, float(len(calls))))

    monkeypatch.setattr(speed, "measure_inference", measure_inference)
    monkeypatch.setattr("harness.study.trial.finishing.measure_speed", speed.measure_speed)
    return calls


@pytest.fixture
def trained(real, tmp_path):
    """Return a function that trains a trial in a run, and returns its record."""
    with real.bench() as evaluate:

        def trained(*overrides, run="run", **options):
            record = tmp_path / run
            record.mkdir(exist_ok=True)
            job = replace(real.job_of("budget.epochs=1", *overrides), memory=Memory(record))
            return evaluate(job, **options).record

        yield trained


def test_an_architecture_is_measured_once_and_the_others_say_how_old_their_figures_are(trained, measured):
    first, second = trained(), trained("space.optimizer.adamw.lr=0.1", trial=4, seed=6)
    assert len(measured) == 1
    assert [first.figures[name] for name in NAMES] == [second.figures[name] for name in NAMES] == [1.0] * 3
    assert not set(NAMES) & set(first.reasons)
    assert {second.reasons[name] for name in NAMES} == {"measured less than an hour before"}
    assert second.figures["train_samples_s"] != first.figures["train_samples_s"]
    trained("space.architecture.mlp.width=17")
    assert len(measured) == 2


def test_another_run_takes_over_what_this_machine_remembers_unless_the_search_is_by_it(trained, measured):
    trained("space.architecture.mlp.width=18")
    assert trained("space.architecture.mlp.width=18", run="another").figures["latency_p50_ms"] == 1.0
    by_latency = ("space.architecture.mlp.width=18", "objective={accuracy: maximize, latency_ms: minimize}")
    limited = ("space.architecture.mlp.width=18", "limits={latency_ms: 1000}")
    assert trained(*by_latency, run="third").figures["latency_p50_ms"] == 2.0
    assert trained(*limited, run="fourth").figures["latency_p50_ms"] == 3.0
    assert trained(*by_latency, run="third", trial=4).figures["latency_p50_ms"] == 2.0
    assert len(measured) == 3


def test_it_takes_a_share_of_the_training_where_nothing_hangs_on_it(trained, measured):
    trained("space.architecture.mlp.width=19")
    trained("space.architecture.mlp.width=19", "limits={latency_ms: 1000}", run="limited")
    assert [each["most_s"] for each in measured] == [speed.LEAST_S, float("inf")]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "less than an hour"),
        (3599.0, "less than an hour"),
        (7200.0, "2 h"),
        (47 * 3600.0, "47 h"),
        (3e5, "3 days"),
    ],
)
def test_an_age_is_told_roughly(seconds, said):
    assert speed._age(seconds) == said
