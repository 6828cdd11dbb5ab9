"""Classes in an order: what outputs say against the definition, the metrics against scikit-learn, and a search."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.data import load
from harness.errors import DataError
from harness.problems import problems
from harness.problems.order import OrderedMatrix, of_steps, steps_of
from harness.spec.task import parse_task

GRADES = ["poor", "fair", "good", "excellent"]


def test_outputs_say_how_likely_it_goes_on_to_the_next_class():
    z = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    on = z.sigmoid()[0]
    expected = [1 - on[0], on[0] * (1 - on[1]), on[0] * on[1] * (1 - on[2]), on[0] * on[1] * on[2]]
    torch.testing.assert_close(of_steps(z).exp()[0], torch.stack(expected))
    torch.testing.assert_close(steps_of(of_steps(z)), z)
    both = torch.stack([z, z.flip(1)])
    mean = problems["ordinal"].averaged(both)
    torch.testing.assert_close(of_steps(mean).exp(), of_steps(both).exp().mean(0))
    extreme = of_steps(torch.tensor([[200.0, -200.0]]))
    assert math.isfinite(float(extreme.min()))


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(3, 6), st.integers(0, 2**16))
def test_the_matrix_measures_what_scikit_learn_does(samples, classes, seed):
    rng = np.random.default_rng(seed)
    targets, predicted = rng.integers(0, classes, (2, samples))
    matrix = OrderedMatrix(classes, torch.device("cpu"))
    matrix.update(torch.from_numpy(predicted), torch.from_numpy(targets))
    found = matrix.metrics()
    if len(np.union1d(targets, predicted)) > 1:
        for name in ("quadratic_kappa", "class_distance", "accuracy"):
            assert found[name] == pytest.approx(problems["ordinal"].score(name, targets, np.eye(classes)[predicted]))
    assert set(found) == {metric.name for metric in problems["ordinal"].metrics if metric.summed}


def table(rows=300, seed=0):
    """A grade that rises with one column, and falls with another."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    grade = np.digitize(x[:, 0] - 0.5 * x[:, 1] + 0.1 * rng.normal(size=rows), [-1.0, 0.0, 1.0])
    return pd.DataFrame(x, columns=list("abc")).assign(grade=np.array(GRADES)[grade])


def read(tmp_path, frame, **task):
    frame.to_csv(tmp_path / "grades.csv", index=False)
    return load(parse_task({"csv": str(tmp_path / "grades.csv"), "target": "grade", "kind": "ordinal", **task}), seed=0)


def test_classes_have_the_order_that_is_given_and_numbers_their_own(tmp_path):
    assert read(tmp_path, table(), classes=GRADES).class_names == tuple(GRADES)
    frame = table()
    frame["grade"] = frame["grade"].map({name: 10 * (place + 1) for place, name in enumerate(GRADES)})
    data = read(tmp_path, frame)
    assert data.class_names == ("10", "20", "30", "40")
    assert data.shape.kind == "ordinal"


@pytest.mark.parametrize(
    ("change", "classes", "said"),
    [
        ({}, [], "holds text, whose order is not known: list the classes from low to high under `classes:`"),
        ({}, GRADES[:3], "'excellent' is not under `classes`"),
        ({}, [*GRADES, "divine"], "'divine' is under `classes`, and in no row"),
        ({"grade": ["low", "high"] * 150}, ["low", "high"], "takes three or more"),
    ],
)
def test_an_order_that_is_not_known_is_refused(change, classes, said, tmp_path):
    with pytest.raises(DataError, match=said):
        read(tmp_path, table().assign(**change), classes=classes)


def test_an_order_is_for_ordinal_targets():
    with pytest.raises(ValueError, match="for `kind: ordinal`"):
        parse_task({"csv": "x.csv", "target": "grade", "classes": GRADES})
    with pytest.raises(ValueError, match="lists one twice"):
        parse_task({"csv": "x.csv", "target": "grade", "kind": "ordinal", "classes": ["a", "b", "a"]})


def test_a_search_predicts_grades(tmp_path):
    space = {
        "task": {"frame": "data", "target": "grade", "kind": "ordinal", "classes": GRADES},
        "budget": {"trials": 1, "epochs": 20},
        "space": {
            "architecture": {"mlp": {"depth": 1, "width": 32}},
            "optimizer": {"adamw": {"lr": {"float": [5e-3, 3e-2], "log": True}}},
            "batch_size": 32,
        },
        "training": {"final": {"ensemble": 2}},
    }
    result = harness.search(space, data=table(), out=tmp_path, device="cpu", workers=0)
    test = result.stats["test"]["metrics"]
    naive, *others = result.stats["baselines"]
    assert test["quadratic_kappa"] > 0.85
    assert all(each["test"]["quadratic_kappa"] > 0.8 for each in others), others
    assert naive["test"]["class_distance"] > 2 * test["class_distance"]
    assert harness.verify(result.run).findings == ()
    model, frame = harness.load(result.run), table(seed=1)
    said, shares = model.predict(frame), model.predict_proba(frame)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(frame)), abs=1e-5)
    assert np.array_equal(said, np.array(GRADES, dtype=object)[shares.argmax(axis=1)])
    assert (said == frame["grade"]).mean() > 0.75
