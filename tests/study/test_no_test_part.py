"""A search without test samples: the final model is made and not scored."""

import pytest

import harness
from harness.errors import DataError
from harness.store.files import read_json
from harness.store.run import read_status

SPACE = {
    "task": {"builtin": "wine", "split": {"test": 0}},
    "budget": {"trials": 1, "epochs": 2},
    "space": {"architecture": {"mlp": {"width": 8}}},
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return harness.search(SPACE, workers=0, out=tmp_path_factory.mktemp("runs"))


def test_the_final_model_is_made_and_not_scored(searched):
    assert searched.stats["test"] is None
    assert searched.test == {}
    assert searched.stats["baselines"] == []
    assert searched.stats["task"]["test"] == 0
    assert harness.load(searched.run).predict([[13.0] * 13]).shape == (1,)
    assert "Test: not evaluated." in searched.report.read_text()


@pytest.mark.slow
def test_a_search_that_goes_on_makes_it_again(searched):
    again = harness.search(resume=searched.run, trials=2, workers=0)
    assert (len(again.trials), again.stats["test"]) == (2, None)
    assert len(harness.load(again.run).trials) == 2
    with pytest.raises(DataError, match=r"an average, which is scored before it is used, takes test samples"):
        harness.ensemble(again.run)
    harness.refit(again.run)
    assert read_json(again.run / "full/candidate.json")["note"].endswith("best/ has no test score either")
    assert read_status(again.run)["test_opened"] == 0


def test_what_takes_test_samples_says_so(tmp_path):
    with pytest.raises(DataError, match=r"a comparison takes test samples, and there are none; raise `split.test`"):
        harness.compare("digits", overrides=["task.split.test=0"], seeds=2, out=tmp_path)
    with pytest.raises(DataError, match="a score on them takes test samples"):
        harness.train_candidate(SPACE, params={}, test=True, workers=0, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
