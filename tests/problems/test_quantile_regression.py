"""Quantiles of a number: scores against scikit-learn, sums against whole parts, and what they are asked of."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, root_mean_squared_error

from harness.data import load
from harness.data.sources.given import given
from harness.errors import DataError, InputError, SpecError
from harness.problems import Undefined, problem_of, problems
from harness.problems.quantile_models import EachQuantile
from harness.problems.scoring import Scorer
from harness.records import Target, TaskShape
from harness.spec import load_spec
from harness.spec.task import parse_task
from harness.spec.training import Training

LEVELS = (0.05, 0.5, 0.8)
CPU = torch.device("cpu")
rng = np.random.default_rng(0)
VALUES = rng.normal(300.0, 20.0, 41)
ANSWERS = np.sort(VALUES[:, None] + rng.normal(0.0, 15.0, (41, 3)), axis=1)


def shape_of(levels=LEVELS):
    target = Target(centre=(300.0,), scale=(20.0,), quantiles=levels)
    return TaskShape(kind="quantile-regression", outputs=1, target=target)


def expected_pinball(levels=LEVELS):
    each = [mean_pinball_loss(VALUES, ANSWERS[:, place], alpha=level) for place, level in enumerate(levels)]
    return np.mean(each)


def test_scores_are_those_of_scikit_learn():
    problem = problem_of(shape_of())
    assert problem.score("pinball", VALUES, ANSWERS) == pytest.approx(expected_pinball())
    assert problem.score("rmse", VALUES, ANSWERS) == pytest.approx(root_mean_squared_error(VALUES, ANSWERS[:, 1]))
    assert problem.score("mae", VALUES, ANSWERS) == pytest.approx(mean_absolute_error(VALUES, ANSWERS[:, 1]))
    assert problem.score("coverage", VALUES, ANSWERS) == np.mean([
        low <= value <= high for value, (low, _, high) in zip(VALUES, ANSWERS, strict=True)
    ])  # fmt: skip
    assert problem.score("interval_width", VALUES, ANSWERS) == pytest.approx(np.ptp(ANSWERS, axis=1).mean())
    scorer = Scorer("quantile-regression", ("pinball",), target=shape_of().target)
    assert scorer.measure(VALUES, ANSWERS).values["pinball"] == pytest.approx(expected_pinball())


def test_what_is_learned_goes_back_to_its_own_units_and_sums_are_the_scores():
    shape = shape_of()
    problem = problem_of(shape)
    learned = problem.learned(VALUES, shape.target)
    answers = ANSWERS - 300.0
    np.testing.assert_allclose(problem.own_units(answers, shape), ANSWERS)
    quality = problem.quality(shape, CPU)
    assert np.isnan(list(quality.metrics().values())).all()
    for rows in (slice(0, 6), slice(6, 6), slice(6, 41)):
        quality.update(torch.from_numpy(answers[rows]), torch.from_numpy(learned[rows]))
    scores = {metric.name: problem.score(metric.name, VALUES, ANSWERS) for metric in problem.metrics}
    assert quality.metrics() == pytest.approx(scores)
    criterion = problem.criterion(shape, Training(), class_counts=None, device=CPU)
    loss = criterion.loss(torch.from_numpy(answers / 20.0), torch.from_numpy(learned)).item()
    assert loss == pytest.approx(expected_pinball() / 20.0)
    losses = problem.losses_of(answers, learned, loss="pinball", scale=shape.scale)
    assert losses.mean() == pytest.approx(loss)
    frame = pd.DataFrame({"target": VALUES, **problem.columns(ANSWERS, ())})
    assert list(frame) == ["target", "predicted", "quantile_0.05", "quantile_0.5", "quantile_0.8"]
    np.testing.assert_allclose(problems["quantile-regression"].test_losses(frame), 20.0 * losses)
    error = problem.standard_error("pinball", VALUES, ANSWERS, 0)
    assert error == pytest.approx(stats.sem(20.0 * losses))
    assert problem.mistakes(VALUES, ANSWERS)[0] == losses.argmax()


def test_outputs_are_put_in_order_and_gradients_go_where_they_came_from():
    shape = shape_of()
    problem = problem_of(shape)
    assert problem.outputs_for(shape, "auto") == 3
    criterion = problem.criterion(shape, Training(), class_counts=None, device=CPU)
    outputs = torch.tensor([[2.0, -1.0, 0.5]], requires_grad=True)
    scores = criterion.scores(outputs)
    assert scores.tolist() == [[-1.0, 0.5, 2.0]]
    criterion.loss(scores, torch.tensor([0.0])).backward()
    # The lowest is too low by 1 at a level of 0.05, the others are too high.
    assert outputs.grad[0].tolist() == pytest.approx([0.2 / 3, -0.05 / 3, 0.5 / 3])
    together = problem.averaged(torch.tensor([[[0.0, 2.0, 1.0]], [[4.0, 3.0, 5.0]]]))
    assert together.tolist() == [[1.5, 2.5, 3.5]]


@pytest.mark.parametrize(
    ("levels", "without"), [((0.1, 0.9), {"rmse", "mae"}), ((0.5,), {"coverage", "interval_width"})]
)
def test_what_such_quantiles_do_not_have_is_nan_with_a_reason(levels, without):
    shape = shape_of(levels)
    problem, answers = problem_of(shape), ANSWERS[:, : len(levels)]
    quality = problem.quality(shape, CPU)
    quality.update(torch.from_numpy(answers), torch.from_numpy(VALUES))
    assert {name for name, value in quality.metrics().items() if np.isnan(value)} == without
    for name in without:
        with pytest.raises(Undefined, match=r"it is of the"):
            problem.score(name, VALUES, answers)
    assert quality.metrics()["pinball"] == pytest.approx(expected_pinball(levels))


def test_a_model_of_each_quantile_answers_in_order():
    from sklearn.dummy import DummyRegressor
    from sklearn.linear_model import QuantileRegressor

    constant = EachQuantile(DummyRegressor(strategy="quantile"), LEVELS).fit(VALUES[:, None], VALUES)
    np.testing.assert_allclose(constant.predict(np.zeros((2, 1))), [np.quantile(VALUES, LEVELS)] * 2)
    inputs = rng.normal(size=(41, 2))
    half = EachQuantile(QuantileRegressor(alpha=0.0), (0.9, 0.1), rows=20).fit(inputs, VALUES)
    rows = np.linspace(0, 40, 20).astype(int)
    alone = QuantileRegressor(quantile=0.9, alpha=0.0).fit(inputs[rows], VALUES[rows])
    np.testing.assert_allclose(half.predict(inputs[:1])[0, 1], alone.predict(inputs[:1])[0])


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"csv": "a.csv", "target": "y", "quantiles": [0.0, 0.5]}, "quantiles"),
        ({"csv": "a.csv", "target": "y", "quantiles": [0.5, 1.5]}, "quantiles"),
        ({"csv": "a.csv", "target": "y", "quantiles": [0.9, 0.1]}, "in ascending order, each once"),
        ({"csv": "a.csv", "target": "y", "quantiles": [0.1, 0.1]}, "in ascending order, each once"),
        ({"csv": "a.csv", "target": ["y", "z"], "quantiles": [0.1]}, "quantiles are of one number, and target names 2"),
        ({"csv": "a.csv", "target": "y", "kind": "ordinal", "quantiles": [0.1]}, "`kind` is ordinal; leave out"),
        ({"csv": "a.csv", "target": ["y", "z"], "kind": "multilabel", "quantiles": [0.1]}, "`kind` is multilabel"),
        ({"csv": "a.csv", "target": "y", "kind": "quantile-regression"}, r"takes `quantiles`, such as \[0.1, 0.5"),
        ({"forecast": "a.csv", "time": "t", "target": "y", "horizon": 2, "quantiles": [0.9, 0.1]}, "in ascending"),
    ],
)
def test_a_space_with_quantiles_that_do_not_fit_is_refused(task, message):
    with pytest.raises(SpecError, match=message):
        load_spec({"task": task, "space": {"architecture": {"mlp": {}}}})


def test_quantiles_of_what_is_no_number_are_refused(tmp_path):
    frame = pd.DataFrame({"x": np.arange(60.0), "y": np.arange(60) % 4})
    asked = {"frame": "data", "target": "y", "quantiles": [0.1, 0.9]}
    with pytest.raises(DataError, match=r"its targets are 4 classes.*leave out `quantiles`, or say `kind: regression`"):
        load(parse_task(asked), seed=0, given=given(frame, "y"))
    dataset = load(parse_task({**asked, "kind": "regression"}), seed=0, given=given(frame, "y"))
    assert (dataset.shape.kind, dataset.shape.target.quantiles) == ("quantile-regression", (0.1, 0.9))
    both = np.stack([np.arange(60.0), np.arange(60.0) ** 2], axis=1)
    np.savez(tmp_path / "two.npz", x=both, y=both)
    with pytest.raises(DataError, match=r"has 2 values to predict of each sample, and quantiles are of one number"):
        load(parse_task({"npz": str(tmp_path / "two.npz"), "quantiles": [0.1]}), seed=0)
    with pytest.raises(DataError, match=r"wine: its targets are 3 classes"):
        load(parse_task({"builtin": "wine", "quantiles": [0.1]}), seed=0)


def test_a_task_without_quantiles_is_written_as_it_was():
    for task in ({"builtin": "wine"}, {"csv": "a.csv", "target": "y"}, {"npz": "a.npz"}, {"images": "folder"}):
        assert "quantiles" not in parse_task(task).model_dump()
    asked = parse_task({"npz": "a.npz", "as": "series", "quantiles": [0.5]}).model_dump()
    assert (asked["quantiles"], asked["as"]) == ((0.5,), "series")
    forecast = parse_task({"forecast": "a.csv", "time": "t", "target": "y", "horizon": 2})
    assert forecast.model_dump()["quantiles"] == ()


def test_models_of_means_say_that_they_are_not_for_it():
    from harness.models.build import build
    from harness.records import Named, table_inputs

    shape = TaskShape(
        kind="quantile-regression", outputs=3, inputs=table_inputs(4), target=Target(quantiles=LEVELS)
    )  # fmt: skip
    with pytest.raises(InputError, match="is for classification and regression, the task is quantile-regression"):
        build(Named("svm"), shape)
    with pytest.raises(InputError, match="'huber' does not fit a quantile-regression task; use auto, pinball"):
        problem_of(shape).outputs_for(shape, "huber")
