"""A candidate's own number of epochs is what it is trained for, wherever epochs are counted."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import harness
from harness.cli.live import LiveTable
from harness.records import EpochRecord, Outcome
from harness.spec import canonical, parse_spec, spec_hash
from harness.study import Observer
from harness.study.decide.points import middle_candidate
from harness.study.estimate import estimate_costs, total_seconds
from harness.study.objectives import Objective
from harness.study.trial.building import epochs_of, fewest_epochs
from harness.study.trial.gates import Gates
from harness.study.trial.probing import Prober
from harness.train import never

SEARCHED = (
    "space={architecture: {mlp: {depth: 1, width: 16}}, schedule: [constant, cosine], batch_size: 32, "
    "optimizer: {adamw: {lr: 0.02}}, epochs: [2, 5]}"
)


@pytest.fixture(scope="module")
def evaluate(real):
    with real.bench() as evaluate:
        yield evaluate


def test_it_is_complete_after_its_own_epochs_with_its_schedule_at_the_end(real, evaluate):
    short = evaluate(real.job_of("training.epochs=3", "budget.epochs=6"))
    assert (short.outcome, short.record.reason) == (Outcome.COMPLETE, "trained for all 3 epochs")
    budget = evaluate(real.job_of("budget.epochs=3"))
    rates = [[epoch.learning_rate for epoch in each.epochs] for each in (short, budget)]
    assert rates[0] == rates[1]
    assert short.weights == budget.weights


def test_patience_is_told_against_its_own_epochs(real, evaluate):
    options = ("training={precision: fp32, epochs: 9, patience: 1}", "space.schedule=constant", "budget.epochs=30")
    ended = evaluate(real.job_of(*options, "space.optimizer={sgd: {lr: 0.5}}"))
    assert ended.record.reason.startswith("no improvement after epoch ")
    assert ended.record.reason.endswith("of 9")


@pytest.mark.parametrize("until", [3, 5])
def test_a_rung_at_or_after_its_end_is_its_end(real, evaluate, until):
    job = real.job_of("training.epochs=3", "budget.epochs=6")
    first = evaluate(job, until=1)
    assert first.outcome is Outcome.PRUNED
    assert "stopped at epoch 1" in first.record.reason
    ended = evaluate(job, until=until, checkpoint=first.checkpoint)
    assert (ended.outcome, len(ended.epochs)) == (Outcome.COMPLETE, 3)
    assert real.told(ended) == real.told(evaluate(job, until=6))


def test_the_checkpoint_of_other_epochs_is_not_taken_up(real, evaluate):
    first = evaluate(real.job_of("training.epochs=3", "budget.epochs=6"), until=1)
    other = evaluate(real.job_of("training.epochs=4", "budget.epochs=6"), checkpoint=first.checkpoint)
    assert len(other.epochs) == 4
    assert other.record.notes[0].startswith("retrained: checkpoint is of another candidate: its epochs is 3, not 4")


@pytest.mark.parametrize(
    ("training", "schedule", "most", "fewest"),
    [
        ("{}", "cosine", 20, 20),
        ("{epochs: 8}", "cosine", 8, 8),
        ("{epochs: 8, patience: 2}", "cosine", 8, 8),
        ("{epochs: 8, patience: 2}", "constant", 8, 3),
        ("{epochs: 2, patience: 5}", "constant", 2, 2),
        ("{patience: 5}", "constant", 20, 6),
    ],
)
def test_predictions_and_estimates_are_for_the_epochs_it_has(real, monkeypatch, training, schedule, most, fewest):
    job = real.job_of(f"training={training}", f"space.schedule={schedule}", "budget.epochs=20", "budget.time=1h")
    candidate = middle_candidate(job.spec, "mlp")
    assert (epochs_of(job, candidate), fewest_epochs(job, candidate)) == (most, fewest)
    monkeypatch.setattr(Prober, "predict", lambda *_: {"epoch_s": 2.0, "step_s": 0.1})
    gates = Gates(job, never)
    gates.before_training(candidate, None)
    assert gates.predicted["train_seconds"] == 2.0 * most
    (estimate,) = estimate_costs(job)
    assert estimate.trial_s == estimate.least_s == estimate.most_s == 2.0 * most
    assert 0 < estimate.beside_s < 60.0, "what is measured of a trial takes its time too"
    whole = job.spec.total * (estimate.trial_s + estimate.beside_s)
    assert total_seconds(job, [estimate]) == pytest.approx((min(whole, 3600.0),) * 3)
    turns = -(-job.spec.total // 3)
    assert total_seconds(job, [estimate], 3) == pytest.approx((min(whole / job.spec.total * turns, 3600.0),) * 3)


def test_an_estimate_does_not_fail_where_some_trials_will(real):
    table = "space={architecture: {mlp: {depth: 1, width: 8, norm: batch}}, batch_size: [32, 1, 64]}"
    (estimate,) = estimate_costs(real.job_of(table))
    assert estimate.trial_s > 0


@pytest.mark.slow
@pytest.mark.usefixtures("real")
def test_a_search_trains_each_candidate_for_as_long_as_it_says(tmp_path):
    overrides = [SEARCHED, "budget.epochs=5", "search.pruner=asha", "search.sampler=random", "objective=accuracy"]
    overrides += ["task={builtin: digits, limit: 120}", "training={precision: fp32, final: keep}"]
    result = harness.search("digits", overrides=overrides, trials=8, out=tmp_path, workers=0)
    own = result.trials[result.trials["same_as"].isna()]
    complete = own[own["outcome"] == "complete"]
    assert len(complete) > 0
    assert (complete["epochs"] == complete["param.epochs"]).all()
    assert (own["epochs"] <= own["param.epochs"]).all()
    rates = result.epochs.sort_values("epoch").groupby("trial")["learning_rate"].last()
    annealed = complete[complete["param.schedule"] == "cosine"]["trial"]
    assert (rates[annealed] < 0.5 * 0.02).all()
    assert set(own["outcome"]) <= {"complete", "pruned"}


@pytest.mark.usefixtures("real")
def test_the_winner_is_refitted_along_its_own_schedule(tmp_path):
    refitted = []

    class Watch(Observer):
        def final_started(self, how, epochs, _why):
            refitted.append((how, epochs))

        def epoch_ended(self, epoch):
            if not epoch.validation:
                refitted.append(epoch.learning_rate)

    overrides = [SEARCHED.replace("[constant, cosine]", "cosine").replace("[2, 5]", "3"), "budget.epochs=5"]
    overrides += ["training.patience=1", "training.final=refit", "search.baselines=false", "search.checks=false"]
    overrides += ["task={builtin: digits, limit: 120}"]
    result = harness.search("digits", overrides=overrides, trials=1, out=tmp_path, observer=Watch(), workers=0)
    mine = list(result.epochs["learning_rate"])
    best = int(result.trials["best_epoch"].iloc[0])
    assert len(mine) == 3
    assert refitted[0] == ("refit", best)
    # It has more steps an epoch, so that the last of each lies a little further along the same schedule.
    assert refitted[1:] == pytest.approx(mine[:best], rel=0.2, abs=0.002)
    assert any(note.startswith("patience is for a constant rate") for note in result.stats["search"]["notes"])
    assert "patience is for a constant rate" in (result.run / "report.html").read_text()


def test_the_hash_and_the_space_that_is_written_know_of_it():
    specs = [
        parse_spec(f"task: digits\nspace: {{architecture: mlp{more}}}\ntraining: {training}", origin="x")
        for more, training in (("", "{}"), ("", "{epochs: 5}"), (", epochs: [5, 7]", "{}"), (", epochs: 5", "{}"))
    ]
    assert len({spec_hash(spec) for spec in specs}) == 4
    for spec in specs:
        again = parse_spec(json.dumps(canonical(spec)), origin="y")
        assert spec_hash(again) == spec_hash(spec)


def test_the_display_counts_to_the_end_of_the_trial():
    text = "task: digits\nobjective: accuracy\nbudget: {epochs: 9}\nspace: {architecture: mlp, epochs: [4, 9]}"
    console = Console(file=StringIO(), force_terminal=True, width=120)
    table = LiveTable(console, parse_spec(text, origin="x"))
    table.run_started(Path("run"), (), Objective("accuracy", maximize=True), None)
    shown = []
    for trial, own in enumerate((4, 9)):
        table.trial_started(trial, {"epochs": own})
        table.epoch_ended(
            EpochRecord(
                trial=trial,
                epoch=3,
                train={},
                validation={"accuracy": 0.5},
                learning_rate=0.1,
                gradient_norm=1.0,
                train_s=1.0,
                validation_s=0.1,
                train_samples_s=1.0,
            )
        )
        console.print(table._view())
        shown.append(console.file.getvalue())
    assert "3/4" in shown[0]
    assert "3/9" in shown[1].removeprefix(shown[0])
