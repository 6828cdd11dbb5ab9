"""``precision`` in a space: a parameter like any other, by whose value a candidate is planned."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from torch import nn

from harness.data import load
from harness.plan import Memory, make_plan
from harness.spec import Categorical, candidate_at, parameters, parse_spec
from harness.study.job import Job
from harness.study.objectives import resolve_objectives
from harness.study.trial.building import place_training, plan_training

SPACE = "task: wine\nspace: {architecture: mlp, precision: [fp32, bf16]}"


@pytest.fixture(autouse=True)
def any_number_of_steps(monkeypatch):
    """Let a training of any number of steps repay measuring."""
    monkeypatch.setattr("harness.plan.precision.LEAST_STEPS", 1)


def test_precisions_in_a_list_are_searched_and_each_is_planned_as_asked(table, cpu, squares):
    spec = parse_spec(SPACE, origin="space.yaml")
    (searched,) = parameters(spec.group)
    assert (searched.path, searched.node) == ("precision", Categorical(("fp32", "bf16")))
    for value in ("fp32", "bf16"):
        training = candidate_at(spec, {"precision": value}).training
        plan = make_plan(
            lambda: nn.Linear(3, 2),
            table,
            device=cpu,
            memory=Memory(),
            loss=squares,
            precision=training.precision,
            steps=1,
        )
        assert plan.precision == value


@pytest.mark.parametrize(
    ("task", "loss", "untrained"),
    [
        ("{builtin: digits, limit: 120}", "auto", math.log(10)),
        ("breast-cancer", "binary", math.log(2)),
        ("diabetes", "mse", 1.0),
    ],
)
def test_auto_compares_the_loss_of_the_candidates_own_task(native, clock, cpu, task, loss, untrained):
    native("bf16")
    clock(fp32=2.0, bf16=1.0)
    space = f"task: {task}\ntraining: {{loss: {loss}}}\nspace: {{architecture: {{mlp: {{depth: 1, width: 16}}}}}}"
    spec = parse_spec(space, origin="space.yaml")
    dataset = load(spec.task, seed=0)
    job = Job(spec, dataset.training_data(), cpu, resolve_objectives(spec, dataset.shape.kind))
    candidate = candidate_at(spec, {})
    train = place_training(job, candidate, job.dataset, seed=0)
    plan = plan_training(job, candidate, job.dataset, train)
    loss, reference = map(float, re.search(r"loss after 30 steps (\S+) against (\S+)$", plan.precision_reason).groups())
    assert plan.precision == "bf16"
    assert 0.0 < reference < 1.5 * untrained
    assert loss == pytest.approx(reference, rel=0.02)


def test_a_table_of_the_same_shape_is_looked_at_anew(native, clock, cpu, tmp_path):
    native("bf16")
    compared = clock(fp32=2.0, bf16=1.0)
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "y"]).to_csv(tmp_path / f"{name}.csv", index=False)

    def plan_of(name, *overrides):
        text = f"task: {{csv: {tmp_path / name}.csv, target: y}}\nspace: {{architecture: {{mlp: {{depth: 0}}}}}}"
        spec = parse_spec(text, origin="x", overrides=overrides)
        dataset = load(spec.task, seed=0)
        job = Job(spec, dataset.training_data(), cpu, resolve_objectives(spec, dataset.shape.kind))
        candidate = candidate_at(spec, {})
        plans = []
        for part in (job.dataset, dataset.for_refit()):
            train = place_training(job, candidate, part, seed=0)
            plans.append(plan_training(job, candidate, part, train).precision_reason)
        return plans

    (first, refit), (second, _) = plan_of("one"), plan_of("two")
    assert first != second, "the losses are those of the table"
    assert plan_of("one") == [first, refit]
    shapes = 1 if first == refit else 2  # a refit has more rows, and a batch of all rows another shape
    assert compared == [("fp32", "bf16")] * 2 * shapes
    plan_of("one", "training.augment={mixup: 0.4}")
    assert len(compared) == 3 * shapes
