"""``evaluation: {folds: auto}``: five folds where samples are few, one holdout elsewhere."""

import pandas as pd
import pytest
import yaml

import harness
from harness.data import load
from harness.spec import parse_spec
from harness.study import Request, open_search
from harness.study.resuming import spec_to_resume
from harness.study.search import FEW, FOLDS

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = """
task: {builtin: %s}
budget: {trials: 1, epochs: 1}
search: {baselines: false, checks: false}
evaluation: {folds: auto}
training: {final: refit}
space: {architecture: {mlp: {depth: 0}}}
"""


def opened(task="wine", *overrides):
    return open_search(Request(parse_spec(SPACE % task, origin="x", overrides=overrides), device="cpu"))


@pytest.mark.parametrize(("task", "folds"), [("wine", FOLDS), ("diabetes", FOLDS), ("digits", None)])
def test_the_samples_decide(task, folds):
    found = opened(task)
    index = load(parse_spec(SPACE % task, origin="x").task, seed=0).split_index
    assert (len(index["train"]) + len(index["validation"]) < FEW) == (folds is not None)
    assert found.job.spec.evaluation.folds == folds
    assert len(found.job.folds) == (folds or 0)
    assert found.job.trainings == (folds or 1)


@pytest.mark.parametrize(
    ("target", "override"),
    [("value", "search.pruner=asha"), ("value", "task.split={order: day}"), ("rare", "search.seed=0")],
)
def test_where_folds_cannot_be_there_is_one_holdout(tmp_path, target, override):
    """Of the rare class five rows are left to learn from at most four, fewer than one for each fold."""
    rows = range(65)
    table = pd.DataFrame({"day": rows, "x": [row % 7 for row in rows], "value": [row % 23 + 0.5 for row in rows]})
    table["rare"] = ["a" if row < 30 else "b" if row < 60 else "c" for row in rows]
    table[["day", "x", target]].to_csv(tmp_path / "table.csv", index=False)
    job = opened("wine", f"task={{csv: {tmp_path / 'table.csv'}, target: {target}}}", override).job
    assert (job.spec.evaluation.folds, job.folds) == (None, ())


def test_forecasts_have_one_holdout_unless_they_are_asked_for_folds():
    space = SPACE.replace("mlp: {depth: 0}", "dlinear: {kernel: 1}")
    auto, asked = (
        open_search(Request(parse_spec(space % "airline", origin="x", overrides=[f"evaluation.folds={folds}"]), "cpu"))
        for folds in ("auto", 4)
    )
    assert auto.job.folds == ()
    assert [len(fold.validation) for fold in asked.job.folds] == [1] * 4


@pytest.mark.slow
def test_a_run_keeps_what_was_decided_and_is_resumed_by_the_space_s_name(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE % "wine")
    run = harness.search(str(space), out=tmp_path / "runs", device="cpu", workers=0).run
    assert yaml.safe_load((run / "space.yaml").read_text())["evaluation"]["folds"] == FOLDS
    assert spec_to_resume(run, str(space), ["budget.trials=2"]).evaluation.folds == FOLDS
    result = harness.search(str(space), resume=run, trials=2, device="cpu", workers=0)
    assert result.trials["outcome"].tolist() == ["complete"] * 2
