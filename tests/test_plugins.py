"""An installed package adds what can be chosen by name, through entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import InputError
from harness.problems import problems
from harness.registry import Registry, registered

TOYS = '''
"""One toy of each kind."""

import math
from typing import ClassVar

import numpy as np
import optuna
import torch

from harness.data.sources.arrays import read_arrays
from harness.data.sources.source import Source, read_source
from harness.models.family import FamilyConfig, family, takes
from harness.problems import Metric, problems
from harness.problems.regression import Regression
from harness.problems.scoring import scores
from harness.records import InputKind
from harness.spec.task import ArraysTask, TaskSpec, source
from harness.study.decide.pruners import pruners
from harness.study.decide.samplers import samplers
from harness.train.optimizer import optimizers
from harness.train.options import Option, OptionConfig
from harness.train.schedule import schedules


class Toy(FamilyConfig):
    """A linear model."""

    gain: float = 1.0
    """Of the initial weights."""


@family("toy", summary="a linear model", config=Toy, why_not=takes((InputKind.IMAGE,), (InputKind.NUMERIC,)))
def build(config, shape):
    size = math.prod(shape.inputs[0].sizes)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, shape.outputs))
    torch.nn.init.xavier_uniform_(model[1].weight, config.gain)
    return model


@samplers.register("toy-random")
def sample(spec, number):
    return optuna.samplers.RandomSampler(seed=1000 * spec.search.seed + number)


@pruners.register("toy-patient")
def prune(epochs):
    return optuna.pruners.PatientPruner(None, patience=epochs)


class ToySgd(OptionConfig):
    """Gradient descent."""

    lr: float = 0.1


def build_optimizer(config, module, place):
    return (torch.optim.SGD(module.parameters(), lr=config.lr),)


def build_schedule(config, steps_per_epoch, steps):
    return lambda step: 1.0 - step / steps


optimizers.add("toy-sgd", Option("gradient descent", ToySgd, build_optimizer))
schedules.add("toy-line", Option("a line down", OptionConfig, build_schedule))


@scores.register("toy_cost")
def cost(targets, answers):
    return float((1.0 - answers[np.arange(len(targets)), targets]).mean())


class ToyValues(Regression):
    """Regression that is judged by the share of values that are missed by less than one."""

    name = "toy_values"
    metrics = (*Regression.metrics, Metric("toy_near", maximize=True, share=True))
    headline = ("toy_near",)

    def score(self, metric, targets, answers):
        if metric == "toy_near":
            return float((abs(targets - answers) < 1.0).mean())
        return super().score(metric, targets, answers)


problems.add("toy_values", ToyValues())


@source
class ToyTask(TaskSpec):
    source: ClassVar[str] = "toy_rows"

    toy_rows: int


@read_source.register
def read(task: ToyTask) -> Source:
    inputs = np.random.default_rng(0).normal(size=(task.toy_rows, 3))
    return read_arrays(inputs, (inputs.sum(axis=1) > 0).astype(str), ArraysTask(arrays="toy"), "toy", "toy")
'''
ENTRIES = """[harness.families]
toy = toys
absent = no_such_module
silent = math
broken = broken
[harness.samplers]
toy-random = toys
[harness.pruners]
toy-patient = toys
[harness.optimizers]
toy-sgd = toys
[harness.schedules]
toy-line = toys
[harness.metrics]
toy_cost = toys
[harness.problems]
toy_values = toys
[harness.sources]
toy_rows = toys
"""
SPACE = """
task: {toy_rows: 200}
metrics: [toy_cost]
objective: {toy_cost: minimize}
budget: {trials: 2, epochs: 1}
search: {sampler: toy-random, pruner: toy-patient}
space:
  architecture: {toy: {gain: {float: [0.5, 2.0]}}}
  optimizer: {toy-sgd: {lr: [0.1, 0.5]}}
  schedule: toy-line
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder as an installed package leaves it: a module, and its metadata with entry points."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "toys.py").write_text(TOYS)
    (folder / "broken.py").write_text("raise RuntimeError('half installed')")
    info = folder / "harness_toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: harness-toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    return folder


def _run(site, *command, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, **options)


@pytest.mark.slow
def test_what_a_package_offers_is_searched_in_a_worker_process(site, tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    options = ["--out", tmp_path / "runs", "--device", "cpu", "--json"]
    done = _run(site, "-m", "harness", "search", space, *options)
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(f"{json.loads(done.stdout)['run']}/trials.parquet")
    assert trials["outcome"].tolist() == ["complete"] * 2
    assert trials["param.architecture.toy.gain"].between(0.5, 2.0).all()
    assert trials["optimizer"].tolist() == ["toy-sgd"] * 2
    assert trials["value"].between(0.0, 1.0, inclusive="neither").all()
    assert (trials["validation_toy_cost"] == trials["value"]).all()


@pytest.mark.slow
def test_a_table_may_be_of_the_kind_that_a_package_adds(site, tmp_path):
    rows = pd.DataFrame({"x": range(200)}).assign(y=lambda table: table["x"] % 7 / 2)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    space = tmp_path / "space.yaml"
    space.write_text(
        "task: {csv: rows.csv, target: y, kind: toy_values}\nobjective: toy_near\nbudget: {trials: 2, epochs: 2}\n"
        "space: {architecture: {mlp: {depth: 1, width: [4, 8]}}}\n"
    )
    done = _run(site, "-m", "harness", "search", space, "--out", tmp_path / "runs", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    run = Path(json.loads(done.stdout)["run"])
    stats = json.loads((run / "stats.json").read_text())
    assert stats["task"]["kind"] == "toy_values"
    assert stats["objective"] == [{"metric": "toy_near", "direction": "maximize"}]
    found = pd.read_parquet(run / "predictions.parquet")
    assert stats["test"]["metrics"]["toy_near"] == (abs(found["target"] - found["predicted"]) < 1.0).mean()
    assert (pd.read_parquet(run / "trials.parquet")["validation_toy_near"] > 0).all()


def test_a_kind_of_problem_that_nobody_adds_is_refused_with_the_nearest(site, tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text("task: {csv: rows.csv, target: y, kind: toy_value}\nspace: {architecture: mlp}\n")
    done = _run(site, "-m", "harness", "search", space, "--out", tmp_path / "runs")
    assert (done.returncode, done.stdout) == (2, "")
    assert "task.kind: 'toy_value'" in done.stderr
    assert "did you mean 'toy_values'?" in done.stderr


def test_the_schema_of_tasks_has_the_kinds_that_packages_add(site):
    code = "from harness.spec.task import CsvTask; print(*CsvTask.model_json_schema()['properties']['kind']['enum'])"
    assert _run(site, "-c", code).stdout.split() == ["auto", *sorted([*problems, "toy_values"])]


WRONG = {
    "absent: {}": "architecture 'absent': no_such_module of harness-toys cannot be loaded: ModuleNotFoundError: No",
    "broken: {}": "architecture 'broken': broken of harness-toys cannot be loaded: RuntimeError: half installed",
    "silent: {}": "architecture 'silent': math of harness-toys does not register it; update that package",
    "toi: {}": "unknown architecture 'toi'; did you mean 'toy'?",
    "toy: {gian: 1.0}": "architecture.toy.gian: unknown key; did you mean 'gain'?",
}
"""By an architecture, what is said of it."""

SEARCH_EACH = """
import sys
from harness.cli import main
out, *spaces = sys.argv[1:]
for space in spaces:
    sys.argv = ["harness", "search", space, "--out", out, "--workers", "0"]
    try:
        main()
    except SystemExit as end:
        print("exit code", end.code, file=sys.stderr)
"""


@pytest.mark.slow
def test_what_a_package_gets_wrong_is_one_line(site, tmp_path):
    spaces = []
    for number, architecture in enumerate(WRONG):
        spaces.append(tmp_path / f"space{number}.yaml")
        spaces[-1].write_text(f"task: digits\nspace: {{architecture: {{{architecture}}}}}\n")
    done = _run(site, "-c", SEARCH_EACH, tmp_path / "runs", *spaces)
    lines = done.stderr.splitlines()
    assert lines[1::2] == ["exit code 2"] * len(WRONG), done.stderr
    for message, line in zip(WRONG.values(), lines[::2], strict=True):
        assert message in line
    assert not (tmp_path / "runs").exists()


def test_names_are_known_before_anything_is_loaded(site):
    code = "import sys; from harness.registry import registered; print(*sorted(registered('architecture')))"
    done = _run(site, "-c", f"{code}; print('toys' in sys.modules, 'torch' in sys.modules)")
    assert done.stdout.split() == ["absent", "broken", "silent", "toy", "False", "False"]


def test_what_a_module_registers_is_known():
    kind = Registry("kind of the test")
    kind.add("one", 1)
    assert registered("kind of the test") == {"one"}
    with pytest.raises(InputError, match="did you mean 'one'"):
        kind["oen"]
