"""Searches of shipped spaces find what they found before, and a run folder of an older version is still of use."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

import harness

HERE = Path(__file__).parent
BEFORE = json.loads((HERE / "results.json").read_text())


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    """The same searches today, in a process of its own: its number of threads must not be another's."""
    folder = tmp_path_factory.mktemp("same")
    subprocess.run([sys.executable, HERE / "record.py", folder], check=True)
    return json.loads((folder / "results.json").read_text())


def _numbers(row):
    return {name: value for name, value in row.items() if isinstance(value, float)}


@pytest.mark.slow
@pytest.mark.parametrize("search", BEFORE["searches"])
def test_a_search_finds_what_it_found_before(now, search):
    """On the machine of the record to the bit, elsewhere as far as rounding carries."""
    before, after = BEFORE["searches"][search], now["searches"][search]
    here = now["where"] == BEFORE["where"]
    tolerance = {"rel": 1e-12} if here else {"rel": 0.2, "abs": 0.1}
    assert after["final"] == before["final"]
    assert len(after["trials"]) == len(before["trials"])
    for new, old in zip(after["trials"], before["trials"], strict=True):
        assert new["outcome"] == old["outcome"]
        assert json.loads(new["params"]) == json.loads(old["params"]) or not here
        found = {name: value for name, value in _numbers(new).items() if name in old}
        assert found == pytest.approx(_numbers(old), **tolerance)
    assert {name: after["test"][name] for name in before["test"]} == pytest.approx(before["test"], **tolerance)
    if here:
        assert after["weights"] == before["weights"]


@pytest.fixture
def older(tmp_path):
    """A run folder that an earlier version left: digits, two trials of one epoch; its report is left out."""
    with tarfile.open(HERE / "run.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "run"


def _harness(*args):
    command = [sys.executable, "-m", "harness", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def test_an_older_run_is_reported(older):
    done = _harness("report", older)
    assert (done.returncode, done.stderr) == (0, "")
    text = (older / "report.md").read_text()
    assert "0.9000" in text  # the accuracy on the test samples, as it was measured


def test_the_final_model_of_an_older_run_predicts_what_it_predicted(older):
    known = pd.read_parquet(older / "predictions.parquet")
    images = load_digits().images[known["index"]].astype(np.uint8)
    predicted = harness.load(older, device="cpu").predict_proba(images)
    np.testing.assert_allclose(predicted, known.filter(like="probability_"), atol=1e-5)


@pytest.mark.slow
def test_an_older_run_is_read_and_resumed(older):
    before = harness.search(resume=older, trials=2, device="cpu", workers=0).trials
    after = harness.search(resume=older, trials=3, device="cpu", workers=0).trials
    assert before["trial"].tolist() == [0, 1]
    assert after["outcome"].tolist() == ["complete"] * 3
    assert after["value"].tolist()[:2] == before["value"].tolist()
    shutil.rmtree(older)
