"""The split has a seed of its own: searches with several seeds are measured on the same samples."""

import numpy as np
import pytest
import yaml

import harness
from harness.spec import parse_spec
from harness.study.search import Request, open_search, spec_of_run

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = """
task: {builtin: digits, limit: 100}
objective: accuracy
budget: {trials: 2, epochs: 1}
search: {pruner: none, sampler: random, deterministic: true, baselines: false, checks: false}
training: {precision: fp32, final: keep}
space: {architecture: {mlp: {depth: 1, width: {int: [4, 32]}}}, batch_size: 32}
"""


def opened(*overrides):
    return open_search(
        Request(spec=parse_spec(SPACE, origin="x", overrides=overrides), device="cpu")
    ).dataset.split_index


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_searches_with_other_seeds_have_the_same_samples(part):
    first, other, drawn_anew = opened(), opened("search.seed=1"), opened("task.split.seed=1")
    assert np.array_equal(first[part], other[part])
    assert not np.array_equal(first[part], drawn_anew[part])


@pytest.mark.slow
def test_a_run_from_before_goes_on_with_the_split_that_it_had(tmp_path):
    """Its space.yaml has no such key, and its samples were drawn by the seed of the search."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    options = {"device": "cpu", "workers": 0}
    began = {"seed": 5, "overrides": ["task.split.seed=5"], "out": tmp_path, **options}
    whole = harness.search(str(space), trials=3, **began)
    run = harness.search(str(space), **began).run
    written = yaml.safe_load((run / "space.yaml").read_text())
    assert written["task"]["split"].pop("seed") == 5
    (run / "space.yaml").write_text(yaml.safe_dump(written))
    resumed = harness.search(resume=run, trials=3, **options)
    assert resumed.trials["value"].tolist() == whole.trials["value"].tolist()
    assert resumed.test == whole.test
    assert (run / "splits.parquet").read_bytes() == (whole.run / "splits.parquet").read_bytes()


def test_the_spec_of_a_run_of_before_has_the_split_that_it_trained_on(tmp_path):
    (tmp_path / "status.json").write_text("{}")
    for text, seed in (("search: {seed: 5}", 5), ("search: {seed: 5}\ntask: {builtin: wine, split: {seed: 7}}", 7)):
        task = "" if "task" in text else "task: wine\n"
        (tmp_path / "space.yaml").write_text(f"{task}{text}\nspace: {{architecture: {{mlp: {{width: 8}}}}}}\n")
        assert spec_of_run(tmp_path).task.split.seed == seed
