from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import nn

from harness.records import Target, TaskKind, TaskShape, table_inputs
from harness.train import evaluate, predict


def joined(batches):
    return torch.cat([b.inputs[0] for b in batches.batches]), torch.cat([b.targets for b in batches.batches])


def test_evaluation_measures_the_model_as_it_is_in_use(labelled, mlp, plan, labels_shape):
    model = mlp(dropout=0.9).train()
    batches = labelled(batches=20)  # more than a window
    got = evaluate(model, batches, shape=labels_shape, plan=plan())
    x_NF, y_N = joined(batches)
    outputs = mlp()(x_NF)
    assert got.metrics["loss"] == pytest.approx(F.cross_entropy(outputs, y_N).item(), rel=1e-5)
    assert got.metrics["f1_macro"] == pytest.approx(f1_score(y_N, outputs.argmax(1), average="macro"))
    assert got.quality.metrics()["accuracy"] == got.metrics["accuracy"]
    assert model.training


def test_fit_validates_as_evaluate_does(make_fit, labelled, mlp, plan, labels_shape):
    model = mlp()
    record = list(make_fit(model, labelled(), labelled(batches=20, seed=1)))[-1]
    assert record.validation == evaluate(model, labelled(batches=20, seed=1), shape=labels_shape, plan=plan()).metrics


def test_predictions_are_probabilities_in_the_order_of_the_batches(labelled, mlp, plan, labels_shape):
    batches = labelled()
    outputs, targets = predict(mlp(), batches, shape=labels_shape, plan=plan())
    x_NF, y_N = joined(batches)
    np.testing.assert_allclose(outputs, mlp()(x_NF).softmax(1).detach().numpy(), rtol=1e-5)
    np.testing.assert_array_equal(targets, y_N.numpy())
    assert outputs.dtype == np.float32


def test_one_logit_gives_probabilities_of_both_classes(labelled, mlp, plan):
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(5))
    batches = labelled(classes=2)
    outputs, targets = predict(mlp(1), batches, shape=shape, plan=plan(), loss="binary")
    logit_N = mlp(1)(joined(batches)[0])[:, 0].detach()
    np.testing.assert_allclose(outputs[:, 1], torch.sigmoid(logit_N).numpy(), rtol=1e-5)
    np.testing.assert_allclose(outputs.sum(axis=1), 1.0, rtol=1e-6)
    measured = evaluate(mlp(1), batches, shape=shape, plan=plan(), loss="binary").metrics
    assert measured["accuracy"] == pytest.approx(((logit_N > 0).numpy() == targets).mean())
    assert measured["loss"] == pytest.approx(
        F.binary_cross_entropy_with_logits(logit_N, torch.from_numpy(targets).float()).item(), rel=1e-5
    )


def test_values_are_predicted_in_their_own_units(valued, plan, values_shape):
    model = nn.Linear(5, 1)
    nn.init.zeros_(model.weight)
    nn.init.constant_(model.bias, 2.0)
    shape = replace(values_shape, target=Target(scale=(100.0,)))
    outputs, targets = predict(model, valued(), shape=shape, plan=plan())
    np.testing.assert_allclose(outputs, np.full(64, 200.0))
    metrics = evaluate(model, valued(), shape=shape, plan=plan()).metrics
    assert metrics["mae"] == pytest.approx(np.abs(targets - 200).mean(), rel=1e-6)


def test_nothing_to_learn_is_left_behind(labelled, mlp, plan, labels_shape):
    model = mlp()
    evaluate(model, labelled(), shape=labels_shape, plan=plan())
    outputs, _ = predict(model, labelled(), shape=labels_shape, plan=plan())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert isinstance(outputs, np.ndarray)


@pytest.mark.parametrize("function", [evaluate, predict])
def test_every_part_gets_back_the_mode_that_it_had(labelled, plan, labels_shape, function):
    seen = []

    class Watched(nn.Dropout):
        def forward(self, x_BF):
            seen.append(self.training)
            return super().forward(x_BF)

    model = nn.Sequential(nn.BatchNorm1d(5).eval(), Watched(0.5), nn.Linear(5, 3).eval())
    function(model, labelled(), shape=labels_shape, plan=plan())
    assert [module.training for module in model.modules()] == [True, False, True, False]
    assert set(seen) == {False}
