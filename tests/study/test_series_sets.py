"""The shipped space on real series with their official split, where the package that ships them is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import harness


@pytest.fixture(scope="module")
def sets():
    """benchmarks/series_sets.py: the benchmarks are no package."""
    path = Path(__file__).parents[2] / "benchmarks" / "series_sets.py"
    spec = importlib.util.spec_from_file_location("series_sets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_first_candidate_learns_a_set_of_the_archive(sets, tmp_path):
    try:
        folder = sets.sets_folder()
    except ImportError as error:
        pytest.skip(str(error))
    overrides = [sets.task_of(folder, "ItalyPowerDemand"), "budget.epochs=100", "search.baselines=false"]
    result = harness.search("series", overrides=overrides, trials=1, workers=0, plan="safe", out=tmp_path)
    assert result.stats["task"]["test"] == 1029
    assert result.test["accuracy"] > 0.9
