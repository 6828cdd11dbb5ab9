import pytest

import harness

SPACE = "space={architecture: {mlp: {width: 16}}, batch_size: [64, 128], schedule: SCHEDULE}"


class Watch:
    """Remembers what it was told of the final training."""

    def __init__(self):
        self.final = None

    def run_started(self, run, notes):
        assert run.is_dir()
        assert list(notes) == []

    def trial_started(self, _number, params):
        assert params["batch_size"] in (64, 128)

    def epoch_ended(self, epoch):
        assert (epoch.validation == {}) == (self.final is not None)

    def trial_ended(self, record):
        assert record.reason

    def final_started(self, how, epochs):
        self.final = how, epochs


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_an_annealing_schedule_is_refitted_to_its_end_and_a_constant_rate_to_the_best_epoch(schedule, tmp_path):
    watch = Watch()
    overrides = [SPACE.replace("SCHEDULE", schedule), "budget.epochs=6", "training.patience=1", "objective=accuracy"]
    overrides.append("space.optimizer={sgd: {lr: 0.5}}")
    result = harness.search("digits", overrides=overrides, trials=2, out=tmp_path, observer=watch, workers=0)
    best = result.trials.set_index("trial").loc[result.best["trial"]]
    assert watch.final == ("refit", 6 if schedule == "cosine" else best["best_epoch"])


def test_a_refit_that_diverges_keeps_the_weights_of_the_search(tmp_path, monkeypatch):
    from harness.errors import Diverged
    from harness.study.final import Finisher

    def diverge(*_arguments):
        raise Diverged("loss became NaN at step 1 (epoch 1)")

    monkeypatch.setattr(Finisher, "_refit", diverge)
    overrides = [SPACE.replace("SCHEDULE", "constant"), "budget.epochs=2"]
    result = harness.search("digits", overrides=overrides, trials=1, out=tmp_path, workers=0)
    test = result.stats["test"]
    assert test["final"] == "keep"
    assert "the refit failed (loss became NaN" in test["note"]
    assert test["metrics"]["accuracy"] > 0.2
