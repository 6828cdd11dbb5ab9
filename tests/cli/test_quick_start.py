import json

import pytest

from harness.spec import load_spec


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_start_reaches_its_accuracy(harness, tmp_path):
    """The first trials do; the command of the README tries 30 candidates."""
    assert load_spec("digits").budget.trials == 30
    done = harness("search", "digits", "--trials", 8, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert sum(result["trials"].values()) == 8
    assert result["test"]["accuracy"] >= 0.97
