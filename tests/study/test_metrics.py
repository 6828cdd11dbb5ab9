"""Metrics that are asked for beyond the usual ones, and the user's own."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, explained_variance_score, roc_auc_score, root_mean_squared_error

import harness
from harness.errors import InputError, NoSuccessfulTrialError, SpecError
from harness.spec import load_spec, parse_spec, spec_hash

pytestmark = pytest.mark.usefixtures("without_charts")

SMALL = ["space.architecture={mlp: {depth: 1, width: 16}}", "search.first=[]", "budget={epochs: 2}"]
SMALL += ["training.final=keep", "search.checks=false", "evaluation={}"]
MINE = """
import numpy as np

calls = []

def right(targets, answers):
    return float((answers.argmax(axis=1) == targets).mean())

def raises(targets, answers):
    raise KeyError("nothing\\nmore")

def nothing(targets, answers):
    return np.nan

def late(targets, answers):
    calls.append(1)
    if len(calls) > 2:
        raise RuntimeError("enough")
    return 1.0

number = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_scores.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_scores"
    sys.modules.pop("my_scores", None)


def search(tmp_path, *overrides, task="wine", trials=2, **options):
    asked = {"workers": 0, "seed": 3, "device": "cpu", "precision": "fp32", **options}
    return harness.search(
        "tabular",
        overrides=[f"task={task}", *SMALL, "search.baselines=false", *overrides],
        trials=trials,
        out=tmp_path / "results",
        **asked,
    )


@pytest.mark.slow
def test_a_metric_by_name_can_be_the_objective(tmp_path):
    result = search(tmp_path, "objective=roc_auc")
    trials, samples = result.trials, pd.read_parquet(result.run / "predictions.parquet")
    assert trials["outcome"].tolist() == ["complete"] * 2
    assert (trials["value"] == trials["validation_roc_auc"]).all()
    # Where all are told right, no part of the samples tells how sure that is.
    assert (trials["value_se"].between(0, 0.2, inclusive="neither") | (trials["value"] == 1.0)).all()
    assert result.best["trial"] in trials["trial"].tolist()
    probabilities = samples[[f"probability_{k}" for k in range(3)]].to_numpy()
    expected = roc_auc_score(samples["target"], probabilities, multi_class="ovr", average="macro")
    assert result.test["roc_auc"] == pytest.approx(expected)
    assert result.test["kappa"] == pytest.approx(cohen_kappa_score(samples["target"], samples["predicted"]))
    assert result.epochs["validation_roc_auc"].notna().all()
    assert "train_roc_auc" not in result.epochs
    report = (result.run / "report.md").read_text()
    assert "calibration_error" in report
    assert "top_5_accuracy" in report  # with the reason why it has no value
    assert "there are only 3 classes" in report


def test_values_are_scored_in_their_own_units(tmp_path):
    seen = []
    result = search(
        tmp_path,
        "objective={worst: minimize}",
        task="diabetes",
        trials=1,
        metrics={"worst": lambda targets, answers: seen.append(targets.copy()) or np.abs(targets - answers).max()},
    )
    samples = pd.read_parquet(result.run / "predictions.parquet")
    assert result.test["worst"] == pytest.approx((samples["target"] - samples["predicted"]).abs().max())
    assert result.test["mape"] == pytest.approx(
        ((samples["target"] - samples["predicted"]) / samples["target"]).abs().mean()
    )
    assert all((targets == targets.round()).all() and targets.min() > 20 for targets in seen)
    assert result.trials["validation_worst"].tolist() == result.trials["value"].tolist()


def test_of_folds_the_means_count_and_each_is_scored_on_its_own_samples(tmp_path):
    seen = []
    result = search(
        tmp_path,
        "objective=roc_auc",
        "evaluation={folds: 2}",
        trials=1,
        metrics={"samples": lambda targets, _answers: seen.append(targets.copy()) or len(targets)},
    )
    epochs, trial = result.epochs, result.trials.iloc[0]
    best = epochs.groupby("fold")["validation_roc_auc"].max()
    assert trial["value"] == trial["validation_roc_auc"] == pytest.approx(best.mean())
    assert trial["value_sd"] == pytest.approx(best.std())
    sizes = [len(targets) for targets in seen[:2]]  # both folds are trained at once
    assert sizes == epochs["validation_samples"].tolist()[::2]
    assert sum(sizes) == result.stats["task"]["validation"]  # each sample once


@pytest.mark.slow
def test_several_values_are_scored_together_in_their_own_units(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    targets = np.stack([100 + inputs[:, 0], 1e6 + 1e3 * inputs[:, 1]], axis=1)
    result = harness.search(
        "tabular",
        data={"inputs": inputs, "targets": targets},
        overrides=[*SMALL, "objective=explained_variance"],
        trials=1,
        out=tmp_path,
        workers=0,
        device="cpu",
        metrics={"worst": lambda known, answers: np.abs(known - answers)[:, 1].max()},
    )
    samples = pd.read_parquet(result.run / "predictions.parquet")
    known, predicted = (samples[[f"{what}_0", f"{what}_1"]].to_numpy() for what in ("target", "predicted"))
    assert result.test["worst"] == pytest.approx(np.abs(known - predicted)[:, 1].max())
    assert result.test["explained_variance"] == pytest.approx(explained_variance_score(known, predicted))
    assert result.test["rmse"] == pytest.approx(root_mean_squared_error(known, predicted), rel=1e-5)
    assert result.trials["value"].tolist() == result.trials["validation_explained_variance"].tolist()
    assert all(row["test"]["worst"] > 0 for row in result.stats["baselines"])


@pytest.mark.slow
def test_own_metrics_reach_worker_processes_and_the_run_goes_on(tmp_path, own_module):
    share = 0.25
    asked = {"device": "cpu", "metrics": {"quarter": lambda targets, _answers: share + 0 * len(targets)}}
    mine = [f"metrics.mine={own_module}:right", "objective={mine: maximize}"]
    first = search(tmp_path, *mine, trials=1, workers=1, trust=True, **asked)
    trials = first.trials
    assert trials["validation_mine"].tolist() == trials["validation_accuracy"].tolist() == trials["value"].tolist()
    assert trials["validation_quarter"].tolist() == [0.25]
    assert first.test["mine"] == pytest.approx(first.test["accuracy"])
    with pytest.raises(InputError, match=r"metrics.mine: 'my_scores:right' is not imported.*--trust"):
        harness.search(resume=first.run, trials=2, workers=0, **asked)
    more = harness.search(resume=first.run, trials=2, workers=0, trust=True, **asked)
    assert more.trials["validation_quarter"].tolist() == [0.25] * 2


def test_a_function_that_no_worker_can_get_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match=r"metrics.mine: cannot be sent to worker processes .*workers=0"):
        search(tmp_path, trials=1, workers=1, metrics={"mine": lambda *_, file=sys.stdout: file.fileno()})
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "metric mine: it raised KeyError: 'nothing"),
        ("nothing", "metric mine: it returned nan, and must return a finite number"),
    ],
)
def test_an_own_metric_that_fails_ends_its_trials_with_a_reason(tmp_path, own_module, name, reason):
    with pytest.raises(NoSuccessfulTrialError, match=f"no trial completed; trial 0 crashed: {reason}"):
        search(tmp_path, f"metrics={{mine: '{own_module}:{name}'}}", trials=1, trust=True)
    (run,) = (tmp_path / "results").iterdir()
    assert not list((run / "logs").glob("*")) if (run / "logs").exists() else True


def test_an_own_metric_that_fails_on_the_test_samples_costs_no_result(tmp_path, own_module):
    result = search(
        tmp_path,
        f"metrics={{mine: '{own_module}:late'}}",
        trials=1,
        trust=True,
    )
    assert math.isnan(result.test["mine"])
    assert result.stats["test"]["reasons"]["mine"] == "it raised RuntimeError: enough"
    assert result.test["accuracy"] > 0
    assert "it raised RuntimeError: enough" in (result.run / "report.md").read_text()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("my_scores:right", "is not imported, because that runs its code"),
        ("no_such_module:f", r"cannot import 'no_such_module': ModuleNotFoundError.*is it installed or on PYTHONPATH"),
        ("my_scores:wrong", "module 'my_scores' has no attribute 'wrong'"),
        ("my_scores:number", "is not callable"),
    ],
)
def test_an_own_metric_that_cannot_be_had(tmp_path, own_module, path, words):
    assert own_module
    with pytest.raises(InputError, match=f"metrics.mine: .*{words}"):
        search(tmp_path, f"metrics={{mine: '{path}'}}", trust="not imported" not in words)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("metrics=[rocauc]", "unknown metric 'rocauc'; did you mean 'roc_auc'"),
        ("objective=rocauc", "unknown objective 'rocauc'; did you mean 'roc_auc'"),
        ("metrics={accuracy: 'a:b'}", "'accuracy' cannot be the name of a metric of your own"),
        ("metrics={samples_s: 'a:b'}", "'samples_s' cannot be the name"),
        ("metrics={a-b: 'a:b'}", "'a-b' cannot be the name"),
        ("metrics={mine: a.b}", "mine: expected 'package.module:function', got 'a.b'"),
        ("metrics=[3]", "expected names of metrics, or name: module:function, got 3"),
    ],
)
def test_names_are_checked_as_the_space_is_read(override, words):
    with pytest.raises(SpecError, match=words):
        load_spec("tabular", [override])


def test_the_direction_of_an_own_metric_must_be_given():
    with pytest.raises(SpecError, match=r"objective: 'mine' is your own: say \{mine: maximize\} or \{mine: minimize\}"):
        load_spec("tabular", ["metrics={mine: 'a:b'}", "objective=mine"])
    spec = load_spec("tabular", ["metrics={mine: 'a:b'}", "objective={mine: minimize, roc_auc: maximize}"])
    assert spec.objective == {"mine": "minimize", "roc_auc": "maximize"}


def test_a_list_and_a_mapping_of_metrics_mean_the_same():
    text = "task: digits\nspace: {architecture: mlp}\n"
    listed = parse_spec(f"{text}metrics: [roc_auc, {{mine: 'a:b'}}]", origin="x")
    mapped = parse_spec(f"{text}metrics: {{roc_auc: null, mine: 'a:b'}}", origin="x")
    assert listed.metrics == mapped.metrics == {"roc_auc": None, "mine": "a:b"}
    assert spec_hash(listed) == spec_hash(mapped) != spec_hash(parse_spec(text, origin="x"))


def test_a_metric_of_another_problem_is_refused(tmp_path):
    for override, where in (("metrics=[rmse]", "metrics.rmse"), ("objective=pinball_90", "objective.pinball_90")):
        with pytest.raises(SpecError, match=f"{where}: does not fit a classification task; use one of accuracy"):
            search(tmp_path, override)


def test_a_typo_is_answered_before_torch_is_loaded(tmp_path):
    code = "import sys; from harness.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "search", "wine", "--set", "metrics=[rocauc]"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "False\n"
    assert "did you mean 'roc_auc'?" in done.stderr
    assert done.returncode == 2
