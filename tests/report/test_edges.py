"""Parameters at the ends of their ranges: told where the best trials crowd there, and not where they may by chance."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from harness.report import load_run
from harness.report.edges import edges
from harness.spec import load_spec
from harness.spec.parameters import Range

RATE = "optimizer.adamw.lr"


@pytest.fixture(scope="module")
def run_of(usual_run):
    """A function from the values of a parameter, and the score of each, to a run that searched it in a range."""
    run = load_run(usual_run)
    row = run.trials[(run.trials["outcome"] == "complete") & run.trials["same_as"].isna()].iloc[0]

    def make(space, values, scores, path=RATE):
        trials = pd.DataFrame([row.to_dict()] * len(values)).assign(
            trial=range(len(values)), value=scores, values=[json.dumps([float(score)]) for score in scores]
        )
        trials[f"param.{path}"] = values
        return replace(run, trials=trials, ranges={path: space})

    return make


@pytest.mark.parametrize(
    ("space", "best", "wider"),
    [
        (Range(False, 1e-4, 1e-1, log=True), 1e-1, "{float: [0.0001, 1], log: true}"),
        (Range(False, 1e-4, 1e-1, log=True), 1e-4, "{float: [1e-05, 0.1], log: true}"),
        (Range(False, 0.0, 0.5), 0.5, "{float: [0, 0.75]}"),
        (Range(True, 16, 64, step=16), 64, "{int: [16, 96], step: 16}"),
        (Range(True, 1, 12), 12, "{int: [1, 18]}"),
        (Range(True, 8, 512, log=True), 512, "{int: [8, 4096], log: true}"),
        (Range(True, 8, 512, log=True), 8, "{int: [1, 512], log: true}"),
    ],
)
def test_the_wider_range_is_told_and_can_be_used(space, best, wider, run_of, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.uniform(space.low, space.high, 60)
    values[:10] = best
    scores = -np.abs(values - best) / (space.high - space.low)
    (found,) = edges(run_of(space, values, scores))
    assert found.remedy.endswith(f"space.{RATE}: {wider}")
    assert "as in 6 of the 6 best trials" in found.evidence
    key = "batch_size" if space.integer else "l1"
    (tmp_path / "space.yaml").write_text(f"task: wine\nspace:\n  architecture: mlp\n  {key}: {wider}\n")
    load_spec(str(tmp_path / "space.yaml"))


@pytest.mark.parametrize(
    "space", [Range(False, 0.0, 0.5), Range(True, 1, 64, log=True), Range(True, 1, 30), Range(True, 16, 64, step=16)]
)
def test_nothing_is_told_of_an_end_beyond_which_there_is_nothing(space, run_of):
    values = np.linspace(space.low, space.high, 60)
    assert list(edges(run_of(space, values, -values))) == []


def test_few_trials_and_a_best_value_inside_tell_nothing(run_of):
    space, values = Range(False, 1e-4, 1e-1, log=True), np.geomspace(1e-4, 1e-1, 60)
    assert list(edges(run_of(space, values[:12], values[:12]))) == []
    assert list(edges(run_of(space, values, -np.abs(np.log10(values) + 2.5)))) == []


def test_a_parameter_that_does_not_matter_is_rarely_told(run_of):
    """The best value must lie at an end too, so that it is less often than CHANCE for each end."""
    rng, space = np.random.default_rng(0), Range(False, 0.0, 1.0)
    runs = (run_of(space, rng.uniform(0.0, 1.0, 40), rng.normal(size=40)) for _ in range(60))
    assert sum(bool(list(edges(run))) for run in runs) == 0
