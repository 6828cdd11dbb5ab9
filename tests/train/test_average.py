"""Averages of weights against loops by hand in float64."""

import pytest
import torch
from torch import nn

from harness.records import Named
from harness.spec import Training
from harness.train import evaluate
from harness.train.learner import Learner

STEPS = 12


@pytest.fixture
def followed(make_fit, labelled, monkeypatch):
    """Train three epochs of four steps; return the Fit, its records and the weights after each step."""
    descend = Learner.descend

    def train(model: nn.Module, **options):
        fit = make_fit(model, labelled(), labelled(seed=1), optimizer=Named("adamw", {"lr": 0.05}), **options)
        weights = []

        def noted(learner, *, measure):
            norms = descend(learner, measure=measure)
            weights.append([p.detach().double() for p in model.parameters()])
            return norms

        monkeypatch.setattr(Learner, "descend", noted)
        records = list(fit)
        assert len(weights) == STEPS
        return fit, records, weights

    return train


def weighted(weights, shares):
    """Return the mean of each parameter over the steps."""
    total = sum(shares)
    return [
        sum(share * w for share, w in zip(shares, each, strict=True)) / total for each in zip(*weights, strict=True)
    ]


@pytest.mark.parametrize(
    ("training", "shares"),
    [
        ({"ema": 0.9}, [0.9 ** (STEPS - step) for step in range(1, STEPS + 1)]),
        ({"ema": 0.999}, [0.999 ** (STEPS - step) for step in range(1, STEPS + 1)]),
        ({"swa": 1.0}, [1.0] * STEPS),
        ({"swa": 0.25}, [0.0] * 9 + [1.0] * 3),
        ({"swa": 0.5, "ema": 0.5}, [0.0] * 6 + [0.5 ** (6 - step) for step in range(1, 7)]),
    ],
)
def test_the_model_is_the_average_of_the_weights_after_each_step(followed, mlp, training, shares):
    model = mlp(dropout=0.2)
    fit, _, weights = followed(model, training=Training(**training))
    got = [parameter.detach().double() for parameter in fit.model.parameters()]
    torch.testing.assert_close(got, weighted(weights, shares), rtol=1e-5, atol=1e-6)
    assert all(map(torch.equal, (p.detach().double() for p in model.parameters()), weights[-1]))


def test_the_average_is_what_is_measured_and_kept(followed, labelled, mlp, plan, labels_shape):
    model = mlp()
    fit, records, _ = followed(model, training=Training(ema=0.8), objective=("loss", False))
    measured = evaluate(fit.model, labelled(seed=1), shape=labels_shape, plan=plan()).metrics
    assert records[-1].validation == measured
    assert measured["loss"] != evaluate(model, labelled(seed=1), shape=labels_shape, plan=plan()).metrics["loss"]
    assert fit.best_epoch == 3
    assert all(torch.equal(tensor, fit.best_state[name]) for name, tensor in fit.model.state_dict().items())
    fit.restore_best()
    assert evaluate(fit.model, labelled(seed=1), shape=labels_shape, plan=plan()).metrics == measured


def test_before_its_first_step_it_is_the_model_as_it_is(followed, mlp):
    _, averaged, _ = followed(mlp(), training=Training(swa=0.25))
    _, plain, _ = followed(mlp())
    assert [record.validation for record in averaged[:2]] == [record.validation for record in plain[:2]]
    assert averaged[2].validation != plain[2].validation
    assert [record.train for record in averaged] == [record.train for record in plain]


def test_without_one_there_is_no_copy(make_fit, labelled, mlp):
    model = mlp()
    assert make_fit(model, labelled()).model is model


@pytest.mark.parametrize("micro_batch", [0, 8])
def test_batch_norm_has_the_statistics_of_the_averaged_weights(followed, labelled, micro_batch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3))
    fit, _, _ = followed(model, training=Training(ema=0.9), micro_batch=micro_batch)
    averaged = fit.model
    size = micro_batch or 16
    parts = [part for batch in labelled().batches for part in batch.inputs[0].split(size)]
    with torch.no_grad():
        hidden = torch.stack([averaged[0](part) for part in parts])
    torch.testing.assert_close(averaged[1].running_mean, hidden.mean(1).mean(0))
    torch.testing.assert_close(averaged[1].running_var, hidden.var(1).mean(0))
    assert averaged[1].momentum == model[1].momentum == 0.1
    assert averaged[1].training


def test_a_frozen_norm_keeps_its_statistics(followed):
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model[0].eval()
    model[0].running_mean.fill_(0.25)
    fit, _, _ = followed(model, training=Training(swa=0.5))
    assert torch.equal(fit.model[0].running_mean, torch.full((5,), 0.25))
    assert not fit.model[0].training
    assert fit.model[2].num_batches_tracked == 4
