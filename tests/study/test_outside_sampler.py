"""A sampler that another package registers is one that a space can name."""

import optuna
import pytest

import harness
from harness import registry
from harness.errors import SpecError
from harness.spec import parse_spec
from harness.study import check_spec
from harness.study.decide.samplers import samplers

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = """
task: {builtin: digits, limit: 100}
budget: {trials: 3, epochs: 1}
search: {sampler: widening, pruner: none, baselines: false, checks: false}
training: {precision: fp32, final: keep}
space: {architecture: {mlp: {depth: 1, width: {int: [4, 32]}}}, batch_size: 32}
"""


@pytest.fixture
def widening(monkeypatch):
    """The widths 5, 6, 7 and so on, by the number of the trial."""
    monkeypatch.setattr(samplers, "_entries", dict(samplers._entries))
    monkeypatch.setitem(registry._registered, "sampler", set(registry._registered["sampler"]))

    @samplers.register("widening")
    def build(spec, number):
        width = {"architecture.mlp.width": 5 + number}
        return optuna.samplers.PartialFixedSampler(width, optuna.samplers.RandomSampler(seed=spec.search.seed))


@pytest.mark.usefixtures("widening")
@pytest.mark.slow
def test_it_chooses_the_candidates_of_a_search(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    result = harness.search(str(space), out=tmp_path, device="cpu", workers=0)
    assert result.trials["param.architecture.mlp.width"].tolist() == [5, 6, 7]
    again = harness.search(resume=result.run, trials=4, device="cpu", workers=0)
    assert again.trials["param.architecture.mlp.width"].tolist() == [5, 6, 7, 8]


def test_a_name_that_nobody_registered_is_an_error():
    with pytest.raises(SpecError, match=r"search\.sampler: 'widening' is not one of tpe, random, grid, cmaes, gp"):
        check_spec(parse_spec(SPACE, origin="x"))
