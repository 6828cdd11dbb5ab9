"""Forecasts: scores against scikit-learn and by hand, sums against whole parts, losses with their units."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_squared_error

from harness.errors import InputError
from harness.problems import Undefined, problems
from harness.records import Target, TaskShape
from harness.spec.training import Training

rng = np.random.default_rng(0)
VALUES = np.exp(rng.normal(3.0, 0.5, (17, 4)))
TARGETS = np.column_stack([VALUES, rng.uniform(1.0, 5.0, 17)])
ANSWERS = VALUES * np.exp(rng.normal(0.0, 0.2, (17, 4)))
LEVELS = (0.1, 0.5, 0.9)


def shape_of(kind, *, log=False, quantiles=()):
    known = np.log(VALUES) if log else VALUES
    centre = (*[float(known.mean())] * 4, 0.0)
    scale = (*[float(known.std())] * 4, 0.0 if log else 1.0)
    target = Target(names=("1", "2", "3", "4", "naive"), shape=(5,), centre=centre, scale=scale, log=log,
                    quantiles=quantiles)  # fmt: skip
    return TaskShape(kind=kind, outputs=5, target=target)


def test_scores_are_those_of_their_definitions():
    problem = problems["forecasting"]
    assert problem.score("mae", TARGETS, ANSWERS) == pytest.approx(mean_absolute_error(VALUES, ANSWERS))
    assert problem.score("rmse", TARGETS, ANSWERS) == pytest.approx(
        mean_squared_error(VALUES.ravel(), ANSWERS.ravel()) ** 0.5
    )
    mase = np.mean([mean_absolute_error(v, a) / q for v, a, q in zip(VALUES, ANSWERS, TARGETS[:, -1], strict=True)])
    assert problem.score("mase", TARGETS, ANSWERS) == pytest.approx(mase)
    smape = np.mean(2 * np.abs(VALUES - ANSWERS) / (np.abs(VALUES) + np.abs(ANSWERS)))
    assert problem.score("smape", TARGETS, ANSWERS) == pytest.approx(smape)
    with pytest.raises(Undefined):
        problem.score("pinball", TARGETS, ANSWERS)
    assert problem.score("smape", np.zeros((1, 5)), np.zeros((1, 4))) == 0.0


@pytest.mark.parametrize("log", [False, True])
def test_what_is_learned_goes_back_to_its_own_units_and_sums_are_the_scores(log):
    problem, shape = problems["forecasting"], shape_of("forecasting", log=log)
    learned = problem.learned(TARGETS, shape.target)
    np.testing.assert_allclose(problem.own_units(learned[:, :-1], shape), VALUES)
    assert (learned[:, -1] == TARGETS[:, -1]).all()
    said = problem.learned(np.column_stack([ANSWERS, TARGETS[:, -1]]), shape.target)[:, :-1]
    quality = problem.quality(shape, torch.device("cpu"))
    for rows in (slice(0, 6), slice(6, 6), slice(6, 17)):
        quality.update(torch.from_numpy(said[rows]), torch.from_numpy(learned[rows]))
    found = quality.metrics()
    assert found == pytest.approx({name: problem.score(name, TARGETS, ANSWERS) for name in problem.summed[1:]})


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("loss", ["mae", "mse", "huber"])
def test_losses_are_of_errors_in_their_unit(loss, log):
    problem, shape = problems["forecasting"], shape_of("forecasting", log=log)
    learned = problem.learned(TARGETS, shape.target)
    said = problem.learned(np.column_stack([ANSWERS, TARGETS[:, -1]]), shape.target)[:, :-1]
    criterion = problem.criterion(shape, Training(loss=loss), class_counts=None, device=torch.device("cpu"))
    scores = torch.from_numpy(said / np.array(shape.scale[:-1])).float()
    found = criterion.loss(scores, torch.from_numpy(learned).float()).item()
    unit = np.array(shape.scale[:-1]) if log else TARGETS[:, -1:]
    errors = np.abs(said - learned[:, :-1]) / unit
    each = {"mae": errors, "mse": errors**2, "huber": np.where(errors < 1, errors**2 / 2, errors - 0.5)}[loss]
    assert found == pytest.approx(each.mean(), rel=1e-5)
    np.testing.assert_allclose(problem.losses_of(said, learned, loss=loss, scale=shape.scale), each.mean(axis=1))


def test_quantiles_ascend_and_are_scored():
    problem, shape = problems["quantile-forecasting"], shape_of("quantile-forecasting", quantiles=LEVELS)
    assert problem.outputs_for(shape, "auto") == 12
    criterion = problem.criterion(shape, Training(), class_counts=None, device=torch.device("cpu"))
    torch.manual_seed(0)
    scores = criterion.scores(torch.randn(17, 12))
    assert (scores.diff(dim=2) >= 0).all()
    learned = torch.from_numpy(problem.learned(TARGETS, shape.target))
    answers = criterion.answers(scores).numpy()
    own = problem.own_units(answers, shape)
    quality = problem.quality(shape, torch.device("cpu"))
    quality.update(torch.from_numpy(answers), learned)
    found = quality.metrics()
    pinball = np.mean([
        mean_pinball_loss(VALUES.ravel(), own[:, :, place].ravel(), alpha=level) for place, level in enumerate(LEVELS)
    ])  # fmt: skip
    assert found["pinball"] == pytest.approx(pinball, rel=1e-5)
    assert found["coverage"] == pytest.approx(((own[:, :, 0] <= VALUES) & (own[:, :, 2] >= VALUES)).mean())
    assert found["mase"] == pytest.approx(problem.score("mase", TARGETS, own), rel=1e-5)
    columns = problem.columns(own, shape.target.names)
    assert list(columns)[:5] == ["predicted_1", "predicted_2", "predicted_3", "predicted_4", "low_1"]
    assert (columns["low_2"] <= columns["predicted_2"]).all()
    assert problem.loss_name(shape, "auto") == "pinball"


def test_options_of_other_problems_are_refused():
    problem, shape = problems["forecasting"], shape_of("forecasting")
    with pytest.raises(InputError, match="label_smoothing: is for classes"):
        problem.criterion(shape, Training(label_smoothing=0.1), class_counts=None, device=torch.device("cpu"))
    with pytest.raises(InputError, match="'pinball' does not fit a forecasting task; use auto, mae or mse or huber"):
        problem.outputs_for(shape, "pinball")
