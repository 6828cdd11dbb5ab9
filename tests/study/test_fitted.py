"""Trials whose models are fitted, not trained: alone, taken up again, beside networks, and as winners."""

import json

import numpy as np
import pytest
from safetensors.torch import load

import harness
from harness.errors import Interrupted
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.report import analyse, bought, load_run
from harness.report.baseline_section import baseline_section
from harness.spec import candidate_at, parse_spec
from harness.study.decide.idle import needed_where
from harness.study.decide.mirror import Mirror
from harness.study.decide.samplers import samplers
from harness.study.decide.suggest import locate
from harness.study.objectives import Objective

pytestmark = pytest.mark.usefixtures("without_charts")

BOOSTING = "space.architecture={hist_gradient_boosting: {max_iter: 12}}"
BOTH = """
task: wine
objective: accuracy
budget: {trials: 6, epochs: 3}
search: {pruner: none, first: [
  {architecture: {hist_gradient_boosting: {max_iter: 30}}},
  {architecture: linear},
  {architecture: {mlp: {width: 16}}, optimizer: {adamw: {lr: 1e-2}}, batch_size: 32},
  {architecture: svm}, {architecture: nearest_neighbours}, {architecture: {random_forest: {n_estimators: 12}}},
]}
space:
  batch_size: [32, 64]
  architecture:
    hist_gradient_boosting: {max_iter: {int: [20, 40]}}
    linear: {c: 1.0}
    nearest_neighbours: {}
    random_forest: {n_estimators: {int: [5, 20]}}
    svm: {}
    mlp: {width: {int: [8, 16]}}
  optimizer: {adamw: {lr: {float: [1e-3, 1e-1], log: true}}, sgd: {lr: 0.1}}
  class_weights: [none, balanced]
"""


@pytest.fixture(scope="module")
def evaluate(real):
    with real.bench() as evaluate:
        yield evaluate


def test_boosting_is_measured_after_each_stage_and_keeps_the_best(real, evaluate):
    evaluation = evaluate(real.job_of(BOOSTING, "budget.epochs=4"))
    record = evaluation.record
    assert (record.outcome, record.reason, record.epochs) == (Outcome.COMPLETE, "fitted in 4 stages", 4)
    assert max(epoch.validation["accuracy"] for epoch in evaluation.epochs) == record.values[0] > 0.5
    weights = load(evaluation.weights)
    assert len(weights["trees.roots"]) == 10 * 3 * record.best_epoch  # three rounds a stage, a tree for each class
    assert record.figures["parameters"] == sum(tensor.numel() for tensor in weights.values())
    assert np.isnan(evaluation.epochs[0].learning_rate)
    assert record.plan.batch_size == len(real.job_of(BOOSTING).dataset.train)


def test_a_fit_that_goes_on_from_a_checkpoint_comes_to_the_same(real, evaluate):
    job = real.job_of(BOOSTING, "budget.checkpoint_time=1e-6")
    whole = real.Recorder()
    expected = evaluate(job, whole)
    for _, checkpoint in whole.checkpoints:
        assert real.told(evaluate(job, checkpoint=checkpoint)) == real.told(expected)
    assert whole.checkpoints


def test_a_checkpoint_that_was_changed_is_noticed_and_the_fit_begins_anew(real, evaluate):
    job = real.job_of(BOOSTING, "budget.checkpoint_time=1e-6")
    whole = real.Recorder()
    expected = evaluate(job, whole)
    damaged = bytearray(whole.checkpoints[0][1])
    damaged[-5] ^= 1
    again = evaluate(job, checkpoint=bytes(damaged))
    assert "retrained: checkpoint is damaged" in again.record.notes[0]
    assert real.told(again, notes=False) == real.told(expected, notes=False)


def test_a_fit_is_given_up_between_its_stages(real, evaluate):
    def interrupt(report):
        if report.epoch.epoch == 2:
            raise Interrupted("enough")
        return ""

    recorder = real.Recorder(at_report=lambda report: "worse" if report.epoch.epoch == 2 else "")
    record = evaluate(real.job_of(BOOSTING), recorder).record
    assert (record.outcome, record.reason, recorder.epochs) == (Outcome.PRUNED, "worse", [1, 2])
    with pytest.raises(Interrupted):
        evaluate(real.job_of(BOOSTING), real.Recorder(at_report=interrupt))


def test_a_limit_is_checked_once_the_size_is_known(real, evaluate):
    record = evaluate(real.job_of(BOOSTING, "limits.parameters=1000", "limits.latency_ms=1e6")).record
    assert record.outcome is Outcome.INFEASIBLE
    assert "> limit 1,000" in record.reason


def test_what_cannot_be_fitted_has_an_outcome_with_its_reason(real, evaluate):
    job = real.job_of("space.architecture=linear", "task.limit=120")
    job.dataset.train.targets[:] = 1
    record = evaluate(job).record
    assert record.outcome is Outcome.CRASHED
    assert "it cannot be fitted: all samples to fit are of one class" in record.reason


@pytest.mark.parametrize("name", sorted(set(samplers) - {"gp", "nsga2", "qmc"}))
def test_what_does_nothing_beside_a_fitted_model_is_not_drawn_whatever_the_order_of_the_file(name):
    space = BOTH.replace("int: [20, 40]", "int: [20, 40], step: 10").replace(
        "[1e-3, 1e-1], log: true", "[0.1, 0.2], step: 0.1"
    )
    spec = parse_spec(space, origin="x", overrides=[f"search.sampler={name}", "search.first=[]"])
    mirror, seen = Mirror(spec, [Objective("accuracy", maximize=True)]), set()
    for number in range(16):
        proposal = mirror.ask()
        chosen = proposal.params["architecture"]
        seen.add(chosen)
        paths = set(proposal.params)
        if name != "grid":
            assert {"batch_size", "optimizer"} <= paths if chosen == "mlp" else not {"batch_size", "optimizer"} & paths
        assert "class_weights" in paths
        assert locate(spec.group, proposal.params) == proposal.distributions
        assert candidate_at(spec, proposal.params).architecture.name == chosen
        fields = {"outcome": Outcome.COMPLETE, "reason": "r", "candidate": {}, "params": {}}
        mirror.tell(TrialRecord(trial=number, values=(0.5,), **fields), [])
    assert len(seen) > 2
    assert needed_where(spec.group)["batch_size"] == "architecture is mlp"


def test_a_network_is_pruned_by_networks_alone():
    spec = parse_spec(BOTH, origin="x", overrides=["search.pruner=median", "budget.epochs=10", "search.first=[]"])
    mirror = Mirror(spec, [Objective("accuracy", maximize=True)])
    shared = {"class_weights": "none"}

    def told(params, values):
        number = len(mirror)
        mirror.insert(shared | params)
        epochs = [
            EpochRecord(trial=number, epoch=n, train={}, validation={"accuracy": value}, learning_rate=0.1,
                        gradient_norm=1.0, train_s=1.0, validation_s=1.0, train_samples_s=1.0)
            for n, value in enumerate(values, 1)
        ]  # fmt: skip
        record = TrialRecord(
            trial=number, outcome=Outcome.COMPLETE, reason="r", candidate={}, params={}, values=(values[-1],)
        )
        mirror.tell(record, epochs)

    for _ in range(8):
        told({"architecture": "linear"}, [0.99] * 10)
    network = {"architecture": "mlp", "architecture.mlp.width": 8, "batch_size": 32, "optimizer": "sgd"}
    mirror.insert(shared | network)
    assert not mirror.should_prune(8, 5, 0.3, horizon=7)
    for _ in range(8):
        told(network, [0.8] * 10)
    mirror.insert(shared | network)
    assert mirror.should_prune(17, 5, 0.3, horizon=16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A search of each of them that was cut off after three trials, and resumed."""
    space = tmp_path_factory.mktemp("space") / "both.yaml"
    space.write_text(BOTH)
    first = harness.search(space, trials=3, out=space.parent / "runs", workers=0, device="cpu")
    return harness.search(resume=first.run, trials=6, workers=0).run


def test_a_search_of_both_kinds_tries_all_of_them(run):
    trials = load_run(run).trials.set_index("architecture")
    assert set(trials.index) == {
        "hist_gradient_boosting", "linear", "mlp", "nearest_neighbours", "random_forest", "svm"
    }  # fmt: skip
    assert (trials["outcome"] == "complete").all()
    assert (trials["optimizer"].fillna("") == "").sum() == 5
    assert trials.loc["mlp", "optimizer"] == "adamw"
    assert trials.loc[trials.index != "mlp", "param.batch_size"].isna().all()
    assert (trials["parameters"] > 0).all()
    assert (trials.loc[trials.index != "mlp", "value"] > 0.8).all()


def test_the_report_says_what_the_network_bought(run):
    files = load_run(run)
    said = bought(files.trials, files.stats)
    assert said in baseline_section(analyse(files)).text
    assert "the best network (mlp, trial 2)" in said.lower()
    assert "accuracy on validation" in said
    assert " the time (" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", ["hist_gradient_boosting", "linear", "nearest_neighbours", "random_forest", "svm"]
)
def test_a_fitted_winner_is_used_as_any_other(architecture, tmp_path):
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).data
    overrides = [
        "search.first=[]",
        "budget={epochs: 3}",
        "search.baselines=false",
        "search.checks=false",
        "evaluation={}",
    ]
    overrides += [f"space={{architecture: {architecture}}}"]
    result = harness.search(
        "tabular", overrides=["task=wine", *overrides], trials=1, out=tmp_path, workers=0, device="cpu"
    )
    model = harness.load(result.run)
    probabilities = model.predict_proba(frame)
    assert np.allclose(probabilities.sum(axis=1), 1.0)
    assert (model.predict(frame) == np.array(load_wine(as_frame=True).target_names)[load_wine().target]).mean() > 0.9
    for form, ending in (("torch", "pt2"), ("onnx", "onnx")):
        exported = harness.export(result.run, format=form, out=tmp_path / f"wine.{ending}")
        assert exported.difference < 1e-4
    assert "optimizer" not in json.loads((result.run / "stats.json").read_text())["best"]["params"]
