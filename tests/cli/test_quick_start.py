import json

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_start_reaches_its_accuracy(harness, tmp_path):
    done = harness("search", "digits", "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert sum(result["trials"].values()) == 30
    assert result["test"]["accuracy"] >= 0.97
