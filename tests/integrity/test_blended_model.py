"""A final model that averages trials is held against what the run says of it."""

import shutil
from pathlib import Path

import pytest

import harness
from harness.store import read_json, write_json

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = {
    "task": "breast-cancer",
    "objective": "loss",
    "budget": {"epochs": 4},
    "search": {"baselines": False, "checks": False, "sampler": "grid", "seed": 1},
    "training": {"precision": "fp32", "final": {"trials": 8}},
    "space": {
        "architecture": {"mlp": {"width": [4, 8, 12], "depth": 1}},
        "loss": ["cross_entropy", "binary"],
        "optimizer": {"adamw": {"lr": 0.05}},
    },
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    run = harness.search(SPACE, trials=6, workers=0, device="cpu", out=tmp_path_factory.mktemp("blended")).run
    harness.refit(run, device="cpu")
    assert harness.verify(run).findings == ()
    return run


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        (
            "best/candidate.json",
            ("members", 0, "count"),
            100,
            "best/candidate.json: members are not those of stats.json",
        ),
        (
            "stats.json",
            ("test", "trials", 0, "weight"),
            0.1,
            "best/candidate.json: members are not those of stats.json",
        ),
        ("stats.json", ("test", "members"), 7, "best/candidate.json: ensemble is not that of stats.json"),
        ("full/candidate.json", ("members", 0, "recipe", "until"), 1, "members.0.recipe.until"),
        ("best/candidate.json", ("members", 0, "candidate", "optimizer", "adamw", "lr"), 0.1, "members.0.candidate"),
        ("best/candidate.json", ("members",), [], "members are not those of stats.json"),
        ("best/candidate.json", ("members",), "all", "best/candidate.json"),
    ],
)
def test_what_was_changed_is_found(searched, tmp_path, name, path, value, said):
    run = Path(shutil.copytree(searched, tmp_path / "run"))
    held = place = read_json(run / name)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    write_json(run / name, held)
    found = [str(each) for each in harness.verify(run).findings]
    assert any(said in each for each in found), found
