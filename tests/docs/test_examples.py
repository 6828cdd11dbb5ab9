"""Each script and package of examples/ does what it says.

Two of them in processes of their own, with workers; the others are run in this one, and so are their trials: a process
takes longer to load torch than most of them have work for.
"""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import harness

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.slow


def run(folder, *command, path=()):
    """Run Python in a folder, with ``path`` before the checkout, and return what it printed."""
    found = os.pathsep.join(map(str, [*path, ROOT]))
    environment = {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Return a function that runs a script in this process, in a folder of its own, and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("search", "compare"):
        monkeypatch.setattr(harness, name, partial(getattr(harness, name), workers=0))

    def run_script(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run_script


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The run of a search of a frame, and what its script printed."""
    folder = tmp_path_factory.mktemp("frames")
    printed = run(folder, EXAMPLES / "search_frame.py")
    return folder / printed.split()[-1], printed


def test_a_built_in_task_is_searched(script):
    printed = script("search_task.py")
    assert re.search(r"^test accuracy 0\.\d{3}; report: results/\S+/report.html$", printed, re.MULTILINE)
    assert printed.count("mlp") + printed.count("cnn") >= 4


def test_a_frame_is_searched_by_a_metric_of_ones_own(searched):
    found, printed = searched
    assert re.match(r"regret on the test samples [\d,]+, R² -?\d\.\d{3}\n", printed)
    trials = pd.read_parquet(found / "trials.parquet")
    assert trials["outcome"].tolist() == ["complete"] * 4
    assert (trials["value"] == trials["validation_regret"]).all()


def test_the_winner_predicts(searched, script):
    rows = script("predict.py", searched[0]).splitlines()
    assert rows[0].startswith("<Predictor of data: mlp, values;")
    assert len(rows) == 7
    for row in rows[2:]:
        price, predicted = map(float, row.split()[-2:])
        assert predicted == pytest.approx(price, rel=0.6)


def test_two_runs_stand_side_by_side(searched, script, tmp_path):
    other = shutil.copytree(searched[0], tmp_path / "other")
    predictions = pd.read_parquet(other / "predictions.parquet")
    predictions.assign(predicted=predictions["predicted"] + 1.0).to_parquet(other / "predictions.parquet")
    lines = script("compare_runs.py", searched[0], other).splitlines()
    assert len(lines) == 3
    assert all(re.search(r"mlp, [\d,]+ parameters, [\d.]+ ms, \d+ s of search; mean error", line) for line in lines[:2])
    assert lines[2].endswith("over 36 test samples")


def test_searches_stand_in_the_tools_of_scikit_learn(script, tmp_path):
    lines = script("sklearn_pipeline.py").splitlines()
    assert re.match(r"R² 0\.\d+ over 3 folds", lines[0])
    assert re.match(r"R² -?\d\.\d+ with [13] trials", lines[1])
    assert all("complete" in line or "pruned" in line for line in lines[3:])
    assert list(tmp_path.iterdir()) == []


def test_two_architectures_are_compared(script, tmp_path):
    lines = script("compare_architectures.py").splitlines()
    assert re.match(r"(mlp|cnn) .*: test accuracy 0\.\d+ \(0\.\d+ to 0\.\d+\), [\d,]+ parameters", lines[0])
    assert re.search(r"better|no difference detected|equivalent within 1 point", "\n".join(lines))
    assert (tmp_path / lines[-1].removeprefix("report: ")).is_file()


def test_two_benchmarks_are_compared(script, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.bench.schedule.LEAST_S", 6.0)
    lines = script("compare_benchmarks.py").splitlines()
    assert lines
    assert all(re.match(r"copy.*: (same|inconclusive|faster|slower|confounded), ratio \d", line) for line in lines)
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_a_package_adds_a_family_and_a_metric(tmp_path):
    """The package as its pyproject.toml would have it installed: the module, and its entry points."""
    project = tomllib.loads((EXAMPLES / "package" / "pyproject.toml").read_text())["project"]
    information = tmp_path / f"harness_additive-{project['version']}.dist-info"
    information.mkdir()
    name, version = project["name"], project["version"]
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = project["entry-points"].items()
    sections = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in each.items()) for group, each in groups]
    (information / "entry_points.txt").write_text("".join(sections))
    space = EXAMPLES / "package" / "space.yaml"
    command = ["-m", "harness", "search", space, "--trials", "4", "--json"]
    stats = json.loads(run(tmp_path, *command, path=[tmp_path, EXAMPLES / "package"]))
    trials = pd.read_parquet(tmp_path / stats["run"] / "trials.parquet")
    assert trials["outcome"].isin(["complete", "pruned"]).all()
    assert "additive" in set(trials["architecture"])
    assert trials["validation_within_a_quarter"].between(0.0, 1.0).all()
    assert 0.0 <= stats["test"]["within_a_quarter"] <= 1.0


def test_every_example_stands_in_the_list():
    text = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        assert path.name in ("README.md", "__pycache__") or f"`{name}`" in text, name
