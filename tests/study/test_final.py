"""The final model of a trained winner: what is rehearsed, what is made of it, and what is written."""

import importlib
import json
import math
import os
import signal
import time
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import log_loss

import harness
from harness.errors import Diverged, Interrupted
from harness.hardware import Sampler, meters_for
from harness.hardware.fork_server import FORKS, ForkServer
from harness.measure import only_new_garbage
from harness.models import Ensemble
from harness.records import Outcome
from harness.spec import parse_spec
from harness.store import RunFolder
from harness.store.files import read_json, read_parquet
from harness.study import Observer, Request, Stop, open_search
from harness.study.contract import Assignment, Helpers
from harness.study.decide.points import middle_candidate
from harness.study.final import Finisher, final_cost_epochs, finisher, rehearsal
from harness.study.final.decision import KEPT, Difference
from harness.study.final.recipes import recipes
from harness.study.final.rehearsal import Rehearsal
from harness.study.final.retraining import Retraining
from harness.study.final.trying import Trier
from harness.study.keeping import weights_file
from harness.study.trial.building import build_model
from harness.study.trial.evaluate import Evaluator

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = """
task: {builtin: digits, limit: 400}
objective: loss
budget: {epochs: 6}
search: {baselines: false, checks: false}
training: {precision: fp32, calibration: none}
space:
  architecture: {mlp: {width: 16, depth: 1}}
  optimizer: {adamw: {lr: 0.01}}
  schedule: cosine
  batch_size: 64
"""
CLASSES = 24


class Watch(Observer):
    """Remembers what it was told of the final model."""

    def __init__(self):
        self.steps, self.epochs, self.why = [], [], []

    def epoch_ended(self, epoch):
        if self.steps:
            assert epoch.validation == {}, "what is trained again never looks at validation"
            self.epochs.append(epoch.epoch)

    def final_started(self, how, epochs, why):
        self.steps.append((how, epochs))
        self.why.append(why)


class Patient:
    """Lets a trial go on."""

    def judge(self, _report):
        return ""

    def judge_all(self, reports):
        return [""] * len(reports)

    def keep(self, _trial, _checkpoint):
        """Forget it."""


class Trained:
    """A winner as a search leaves it."""

    def __init__(self, folder, sampler, overrides):
        self.overrides, self.folder, self.watch = overrides, folder, Watch()
        opened = self.opened()
        candidate = middle_candidate(opened.job.spec, "mlp")
        assignment = Assignment(trial=0, seed=5, candidate=candidate, params={}, until=opened.job.spec.budget.epochs)
        (evaluation,) = Evaluator(opened.job, sampler, Stop()).evaluate((assignment,), Patient())
        self.winner, self.epochs = evaluation.record, evaluation.epochs
        assert self.winner.outcome is Outcome.COMPLETE, self.winner.reason
        folder.write(weights_file(0), evaluation.weights)

    def opened(self, *overrides):
        spec = parse_spec(SPACE, origin="x", overrides=[*self.overrides, *overrides])
        return open_search(Request(spec, device="cpu"))

    def finish(self, *overrides, seconds=None, **options):
        """Return the final model as ``stats.json`` has it."""
        opened, self.watch = self.opened(*overrides), Watch()
        made = Finisher(opened.job, opened.dataset, self.folder, self.winner, Stop(seconds), self.watch, **options)
        return made.finish(lambda: opened.dataset.test_opened + 1).as_dict()


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Return a function that trains a winner; of the same overrides the same one."""
    known = {}

    def train(*overrides):
        if overrides not in known:
            folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "final")
            known[overrides] = Trained(folder, sampler, overrides)
        return known[overrides]

    with Sampler(meters_for(torch.device("cpu"))) as sampler, only_new_garbage():
        yield train
    for trained in known.values():
        trained.folder.close()


@pytest.fixture(scope="module")
def noisy(train, tmp_path_factory):
    """A wide network on many noisy classes, which has long begun to overfit at the end of its annealing schedule."""
    rng = np.random.default_rng(0)
    targets = np.arange(900) % CLASSES
    inputs = 0.5 * rng.normal(size=(CLASSES, 12))[targets] + rng.normal(size=(900, 12))
    file = tmp_path_factory.mktemp("data") / "noisy.npz"
    np.savez(file, x=inputs.astype(np.float32), y=targets)
    task = f"task={{npz: {file}, inputs: x, targets: y, kind: classification}}"
    wide = ("space.architecture={mlp: {width: 256, depth: 2}}", "space.optimizer={adamw: {lr: 5e-3}}")
    return train(task, *wide, "budget.epochs=24", "search.plan=safe")  # trained as a refit is, to the bit


def test_many_noisy_classes_are_not_refitted_into_certainty(noisy, monkeypatch):
    validation, final = noisy.winner.validation["loss"], noisy.finish()
    test = final["metrics"]["loss"]
    assert test < 1.3 * validation
    assert test < math.log(CLASSES)
    rows = {row["what"]: row for row in final["decision"]}
    assert rows["refit, all 24 epochs"]["loss"] > math.log(CLASSES), "the rehearsal foresees it"
    monkeypatch.setattr(finisher, "recipes", lambda job, winner: recipes(job, winner)[1:])
    whole = noisy.finish("training.final=refit")
    assert noisy.watch.steps == [("refit", 24)], "as it was: along the whole of an annealing schedule"
    assert whole["metrics"]["loss"] > math.log(CLASSES)
    assert whole["metrics"]["loss"] > 1.3 * test


def test_the_final_model_gets_the_temperature_of_what_was_chosen(noisy):
    plain, final = noisy.finish(), noisy.finish("training.calibration=temperature")
    rows = {row["what"]: row for row in final["decision"]}
    assert rows["refit, all 24 epochs"]["temperature"] > 2.0, "trained into certainty"
    assert all(row["temperature"] != 1.0 for row in rows.values())
    assert all(row["temperature"] == 1.0 for row in plain["decision"])
    chosen = next(row for row in final["decision"] if row["chosen"])
    saved = read_json(noisy.folder.file("best/candidate.json"))
    assert final["temperature"] == saved["temperature"] == chosen["temperature"]
    assert final["metrics"]["loss"] < plain["metrics"]["loss"]

    opened = noisy.opened()
    data = opened.dataset.for_refit() if final["final"] == "refit" else opened.dataset
    model = build_model(opened.job, middle_candidate(opened.job.spec, "mlp"), data, seed=9)
    model.load_state_dict(load_file(noisy.folder.file("best/model.safetensors")))
    with torch.inference_mode():
        logits = model.eval()(*data.open_test().tensors(torch.device("cpu")))
    predicted = read_parquet(noisy.folder.file("predictions.parquet"))
    expected = (logits.double() / saved["temperature"]).softmax(dim=1)
    written = predicted[[f"probability_{k}" for k in range(CLASSES)]]
    np.testing.assert_allclose(written, expected, rtol=1e-4, atol=1e-6)
    summed = written.div(written.sum(axis=1), axis=0)
    assert log_loss(predicted["target"], summed, labels=range(CLASSES)) == pytest.approx(final["metrics"]["loss"])


def test_values_have_no_temperature(train):
    final = train("task=diabetes").finish("training.calibration=temperature")
    assert {row["temperature"] for row in final["decision"]} == {1.0}
    assert final["temperature"] == 1.0


def test_the_trials_own_seed_would_give_what_the_trial_measured(noisy, monkeypatch):
    monkeypatch.setattr(Rehearsal, "_seed", lambda *_: noisy.winner.seed)
    best = noisy.winner.best_epoch
    assert 1 < best < 24
    kept, *rest = noisy.finish()["decision"]
    lengths = (f"{best} of 24 epochs", "all 24 epochs", f"a schedule of {best} epochs")
    rows = {row["what"].removeprefix("refit, "): row for row in rest}
    assert set(rows) == set(lengths)
    assert kept["loss"] == pytest.approx(noisy.winner.validation["loss"], rel=1e-5)
    assert rows[lengths[0]]["difference"] == pytest.approx(0.0, abs=1e-9), "exactly what was measured"
    assert rows[lengths[1]]["loss"] == pytest.approx(noisy.epochs[-1].validation["loss"], rel=1e-5)
    rehearsed = [*range(1, 25), *range(1, best + 1)]
    assert noisy.watch.epochs[: len(rehearsed)] == rehearsed, "one training serves both that share a schedule"


def test_a_recipe_is_rehearsed_once_before_it_is_used(train):
    trained = train()
    assert trained.winner.best_epoch == 6
    final = trained.finish()
    kept, refit = final["decision"]
    assert (kept["what"], refit["what"]) == ("kept weights", "refit, all 6 epochs")
    taken = refit["difference"] <= refit["standard_error"]
    assert (final["final"], refit["chosen"]) == (("refit", True) if taken else ("keep", False))
    assert trained.watch.steps == [("rehearse", 6), ("refit", 6) if taken else ("keep", 0)]
    assert trained.watch.epochs == [1, 2, 3, 4, 5, 6] * (2 if taken else 1)
    assert "of kept weights (difference " in trained.watch.why[1]
    assert (final["opened"], final["note"], final["members"]) == (1, "", 1)
    assert final["rehearsal_s"] > 0.0
    again = trained.finish()
    assert (again["decision"], again["metrics"]) == (final["decision"], final["metrics"]), "seeds are derived"


def test_what_was_asked_for_is_done_unmeasured(noisy):
    final = noisy.finish("training.final=refit")
    assert (final["final"], final["decision"]) == ("refit", [])
    assert noisy.watch.steps == [("refit", noisy.winner.best_epoch)]
    kept = noisy.finish("training.final=keep")
    assert (kept["final"], kept["decision"], noisy.watch.epochs) == ("keep", [], [])
    saved = load_file(noisy.folder.file("best/model.safetensors"))
    weights = load_file(noisy.folder.file(weights_file(0)))
    assert all(torch.equal(saved[name], weights[name]) for name in weights)


@pytest.mark.parametrize(("task", "loss"), [("digits", "auto"), ("breast-cancer", "binary"), ("diabetes", "huber")])
def test_an_average_is_saved_with_its_members_and_predicts_their_mean(train, task, loss, monkeypatch):
    trained = train(f"task={task}", f"training.loss={loss}")
    monkeypatch.setattr(Difference, "worse", False)
    final = trained.finish("training.final={ensemble: 3}")
    assert (final["final"], final["members"]) == ("ensemble", 3)
    assert [(row["members"], row["chosen"]) for row in final["decision"]][-1] == (3, True)
    assert [how for how, _ in trained.watch.steps] == ["rehearse", "ensemble"]
    assert sum(epochs for _, epochs in trained.watch.steps) >= len(trained.watch.epochs)
    assert final["figures"]["parameters"] == 3 * trained.winner.figures["parameters"]
    assert final["figures"]["latency_p50_ms"] > 0.0

    opened, saved = trained.opened(), read_json(trained.folder.file("best/candidate.json"))
    candidate, data = middle_candidate(opened.job.spec, "mlp"), opened.dataset.for_refit()
    models = [build_model(opened.job, candidate, data, seed=9) for _ in range(saved["ensemble"])]
    ensemble = Ensemble(models, opened.job.model_shape(candidate, data))
    ensemble.load_state_dict(load_file(trained.folder.file("best/model.safetensors")))
    inputs = data.open_test().tensors(torch.device("cpu"))
    with torch.inference_mode():
        each = torch.stack([model(*inputs) for model in models])
    assert not torch.allclose(each[0], each[1]), "every member has a seed of its own"
    predicted = read_parquet(trained.folder.file("predictions.parquet"))
    if task == "diabetes":
        target = data.preprocessing["target"]
        expected = pd.DataFrame({"predicted": each.mean(dim=0)[:, 0] * target["scale"] + target["mean"]})
    elif loss == "binary":
        expected = pd.DataFrame({"probability_1": each.sigmoid().mean(dim=0)[:, 0]})
    else:
        mean_NC = each.softmax(dim=2).mean(dim=0)
        expected = pd.DataFrame({f"probability_{k}": mean_NC[:, k] for k in range(10)})
    np.testing.assert_allclose(predicted[list(expected)], expected, rtol=1e-4, atol=1e-6)


ENDS_EARLY = """
import os, signal
from dataclasses import dataclass, field
from harness.study.final.inference import Inference

@dataclass(eq=False)
class Answers:
    shape: object
    validation: object
    loss: str
    coordinator: int = field(default_factory=os.getpid)

    def __call__(self, model, plan):
        if os.getpid() != self.coordinator:
            END
        return Inference(model, self.shape, plan, self.loss).outputs(self.validation)
"""
ENDS = {"is_killed": "os.kill(os.getpid(), signal.SIGKILL)", "fails": "raise RuntimeError('no such layer')"}


@pytest.fixture(scope="module")
def helpers(tmp_path_factory):
    """Two processes that may train at once, where the modules of ENDS can be imported."""
    folder = tmp_path_factory.mktemp("modules")
    for name, end in ENDS.items():
        (folder / f"{name}.py").write_text(ENDS_EARLY.replace("END", end))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        with closing(ForkServer(["harness.study.final.beside"], {"OMP_NUM_THREADS": "1"})) as source:
            yield Helpers(source, 2)


@pytest.mark.skipif(not FORKS, reason="processes are forked on Linux only")
def test_models_that_are_trained_beside_each_other_are_the_same_to_the_bit(train, helpers, monkeypatch):
    monkeypatch.setattr(Difference, "worse", False)
    trained, made, here, whole = train("search.plan=safe"), [], [], Retraining.train
    monkeypatch.setattr(Retraining, "train", lambda self, *course: here.append(course) or whole(self, *course))
    for options in ({}, {"helpers": helpers}):
        final = trained.finish("training.final={ensemble: 3}", **options)
        weights = trained.folder.file("best/model.safetensors").read_bytes()
        made.append((final["decision"], final["metrics"], final["final"], weights, sorted(trained.watch.epochs)))
    assert made[0] == made[1]
    assert made[0][2] == "ensemble"
    assert len(here) == 3 + 3 + 1, "of the second one only what is rehearsed alone is trained in this process"


@pytest.mark.skipif(not FORKS, reason="processes are forked on Linux only")
@pytest.mark.parametrize(
    ("module", "reason"), [("is_killed", "its process ended: SIGKILL"), ("fails", "no such layer")]
)
def test_a_training_beside_others_that_ends_early_costs_what_needs_it(train, helpers, monkeypatch, module, reason):
    monkeypatch.setattr(rehearsal, "_Answers", importlib.import_module(module).Answers)
    final = train("search.plan=safe").finish("training.final={ensemble: 3}", helpers=helpers)
    assert f"the rehearsal of 3 refits failed ({reason})" in final["note"]
    assert [row["members"] for row in final["decision"]] == [1, 1]


@pytest.mark.skipif(not FORKS, reason="processes are forked on Linux only")
def test_trainings_beside_each_other_end_when_the_user_wants_it(train, helpers, running):
    trained, stop = train("search.plan=safe"), Stop(None)

    class Interrupting(Watch):
        def epoch_ended(self, epoch):
            super().epoch_ended(epoch)
            stop.signal = signal.SIGINT if epoch.epoch == 2 and len(self.epochs) > 8 else 0

    opened, watch = trained.opened("training.final={ensemble: 3}"), Interrupting()
    made = Finisher(opened.job, opened.dataset, trained.folder, trained.winner, stop, watch, helpers=helpers)
    with pytest.raises(Interrupted):
        made.finish(lambda: 1)
    assert running("harness-fork_se")
    time.sleep(0.2)  # the server kills one that it had yet to fork
    assert not running("harness-beside")


def test_an_average_that_breaks_a_limit_gives_way_to_one_model(train):
    final = train().finish("training.final={ensemble: 3}", "limits.parameters=2000")
    assert "no average of 3: parameters 3,630 > limit 2,000" in final["note"]
    assert final["members"] == 1
    assert [row["members"] for row in final["decision"]] == [1, 1]


def test_what_there_is_no_time_for_is_not_begun_and_the_note_says_so(train, monkeypatch):
    trained = train()
    job = trained.opened().job
    single = final_cost_epochs(job, trained.winner, 1)
    monkeypatch.setattr(finisher, "epoch_seconds", lambda _winner: 1000.0 / single)
    fewer = trained.finish("training.final={ensemble: 3}", seconds=1100.0)
    assert "no time for an average of 3: with its rehearsal it takes up to " in fewer["note"]
    assert "refit" not in fewer["note"]
    assert [row["members"] for row in fewer["decision"]] == [1, 1]
    two = final_cost_epochs(job, trained.winner, 2) / single
    assert [
        row["members"]
        for row in trained.finish("training.final={ensemble: 3}", seconds=1000.0 * two + 100.0)["decision"]
    ][-1] == 2
    none = trained.finish("training.final={ensemble: 3}", seconds=900.0)
    assert "no time for a refit: with its rehearsal it takes up to 1,000 s, and 900 s of budget.time" in none["note"]
    assert (none["final"], none["decision"], trained.watch.epochs) == ("keep", [], [])
    assert trained.watch.steps == [("keep", 0)]


def test_a_rehearsal_that_took_too_long_leaves_no_time_for_the_refit(train, monkeypatch):
    monkeypatch.setattr(finisher, "refit_cost_epochs", lambda *_: 1e9)
    monkeypatch.setattr(Difference, "worse", False)
    final = train().finish(seconds=3600.0)
    assert final["final"] == "keep"
    assert [row["chosen"] for row in final["decision"]] == [True, False]
    assert "no time for the refit after its rehearsal: it takes up to " in final["note"]


def diverging(when):
    """Return a replacement of :meth:`Retraining.train` that diverges on data sets of which ``when`` is true."""
    train = Retraining.train

    def diverge(self, *arguments):
        if when(self._dataset):
            raise Diverged("loss became NaN at step 1 (epoch 1)")
        yield from train(self, *arguments)

    return diverge


@pytest.mark.parametrize("final", ["refit", "auto", "{ensemble: 2}"])
def test_a_refit_that_diverges_keeps_the_weights_of_the_search(train, final, monkeypatch):
    monkeypatch.setattr(Retraining, "train", diverging(lambda dataset: len(dataset.validation) == 0))
    monkeypatch.setattr(Difference, "worse", False)
    made = train().finish(f"training.final={final}")
    assert made["final"] == "keep"
    assert made["note"] == "the refit failed (loss became NaN at step 1 (epoch 1)); the weights of the search were kept"
    chosen = [row["what"] for row in made["decision"] if row["chosen"]]
    assert chosen == ([] if final == "refit" else ["kept weights"])


@pytest.mark.parametrize("final", ["auto", "{ensemble: 2}"])
def test_a_rehearsal_that_diverges_keeps_the_weights_of_the_search(train, final, monkeypatch):
    monkeypatch.setattr(Retraining, "train", diverging(lambda dataset: len(dataset.validation) > 0))
    made = train().finish(f"training.final={final}")
    assert made["final"] == "keep"
    assert [row["what"] for row in made["decision"] if row["chosen"]] == ["kept weights"]
    assert made["note"].startswith("the rehearsal of a refit with all 6 epochs failed (loss became NaN")


def test_predictions_that_are_no_numbers_are_no_candidate(train, monkeypatch):
    tried = Trier.tried

    def no_numbers(self, what, outputs, *more):
        return tried(self, what, outputs if what == KEPT else outputs * np.float32("nan"), *more)

    monkeypatch.setattr(Trier, "tried", no_numbers)
    made = train().finish()
    assert (made["final"], len(made["decision"])) == ("keep", 1)
    assert "failed (its loss on validation is nan)" in made["note"]


@pytest.mark.slow
def test_an_interrupted_rehearsal_is_done_again_by_a_resumed_search(tmp_path):
    class Interrupting(Watch):
        def epoch_ended(self, epoch):
            super().epoch_ended(epoch)
            if len(self.epochs) == 3:
                os.kill(os.getpid(), signal.SIGINT)

    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    options = {"overrides": ["training.final={ensemble: 2}"], "trials": 1, "workers": 0, "out": tmp_path}
    whole = harness.search(str(space), **options)
    cut = harness.search(str(space), observer=Interrupting(), **options)
    assert (cut.state, cut.test, cut.signal) == ("interrupted", {}, signal.SIGINT)
    resumed = harness.search(resume=cut.run, workers=0)
    assert (resumed.state, resumed.test) == ("complete", whole.test)
    final, expected = (json.loads((run / "stats.json").read_text())["test"] for run in (resumed.run, whole.run))
    assert final["decision"] == expected["decision"]
    assert final["opened"] == 1
    assert "## The final model" in (resumed.run / "report.md").read_text()
    assert math.isfinite(resumed.stats["best"]["validation"]["loss"] + resumed.stats["test"]["metrics"]["loss"])
