from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from harness.data import Batch
from harness.errors import InputError
from harness.problems.labels import balanced_weights
from harness.records import Target, TaskKind, TaskShape, table_inputs
from harness.spec import Training
from harness.train import outputs_for
from harness.train.loss import make_criterion

LABELS = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(1))
PAIR = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(1))
VALUES = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(1))


def criterion(shape, *, class_counts=None, **training):
    return make_criterion(
        shape,
        Training(**training),
        class_counts=class_counts,
        device=torch.device("cpu"),
    )


def logits(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


TARGETS = torch.tensor([0, 1, 2, 2, 1, 0, 2, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_cross_entropy_smooths_and_weighs_as_torch_does(smoothing, weights):
    made = criterion(LABELS, label_smoothing=smoothing, class_weights=weights, class_counts=(2, 2, 4))
    expected = torch.nn.CrossEntropyLoss(
        weight=torch.tensor([8 / 6, 8 / 6, 8 / 12]) if weights == "balanced" else None, label_smoothing=smoothing
    )
    outputs = logits(8, 3)
    loss = made.training_loss(made.scores(outputs), Batch((), TARGETS))
    torch.testing.assert_close(loss, expected(outputs, TARGETS))


def test_the_plain_loss_has_no_smoothing_and_no_weights():
    made = criterion(LABELS, label_smoothing=0.2, class_weights="balanced", class_counts=(2, 2, 4))
    torch.testing.assert_close(made.loss(logits(8, 3), TARGETS), F.cross_entropy(logits(8, 3), TARGETS))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_binary_is_binary_cross_entropy_of_one_logit(smoothing):
    made = criterion(PAIR, loss="binary", label_smoothing=smoothing)
    z_B1, targets = logits(8, 1), TARGETS.clamp(max=1)
    smoothed = targets * (1 - smoothing) + smoothing / 2
    expected = F.binary_cross_entropy_with_logits(z_B1[:, 0], smoothed)
    torch.testing.assert_close(made.training_loss(made.scores(z_B1), Batch((), targets)), expected)


def test_binary_weighs_its_classes():
    made = criterion(PAIR, loss="binary", class_weights="balanced", class_counts=(2, 6))
    z_B1, targets = logits(8, 1), TARGETS.clamp(max=1)
    weight_B = torch.tensor([2.0, 2 / 3])[targets]
    each_B = F.binary_cross_entropy_with_logits(z_B1[:, 0], targets.float(), reduction="none")
    expected = (weight_B * each_B).sum() / weight_B.sum()
    torch.testing.assert_close(made.training_loss(made.scores(z_B1), Batch((), targets)), expected)


@settings(max_examples=25)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_balanced_weights_are_scikit_learns(labels):
    counts = np.bincount(labels, minlength=5)
    present = np.flatnonzero(counts)
    weights = balanced_weights(counts.tolist())
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(weights.numpy()[present], expected, rtol=1e-6)
    assert not weights.numpy()[counts == 0].any()


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_mixup_weighs_both_targets_sample_by_sample(weights):
    made = criterion(LABELS, label_smoothing=0.1, class_weights=weights, class_counts=(2, 2, 4))
    outputs, mix_B = logits(8, 3), torch.linspace(0, 1, 8)
    batch = Batch((), TARGETS, TARGETS.roll(1), mix_B)
    weight_C = torch.tensor([4 / 3, 4 / 3, 2 / 3]) if weights == "balanced" else torch.ones(3)
    total = norm = torch.zeros(())
    for i, share in enumerate(mix_B):
        for target, part in ((TARGETS[i], share), (TARGETS.roll(1)[i], 1 - share)):
            one_loss = F.cross_entropy(outputs[i], target, weight_C, label_smoothing=0.1, reduction="sum")
            total, norm = total + part * one_loss, norm + part * weight_C[target]
    torch.testing.assert_close(made.training_loss(outputs, batch), total / norm)


def test_mixup_with_all_the_weight_on_one_target_is_no_mixup():
    made = criterion(LABELS, class_weights="balanced", class_counts=(2, 2, 4))
    mixed = made.training_loss(logits(8, 3), Batch((), TARGETS, TARGETS.roll(1), torch.ones(8)))
    torch.testing.assert_close(mixed, made.training_loss(logits(8, 3), Batch((), TARGETS)))


def test_a_mixed_sample_counts_as_its_weightier_class():
    seen = criterion(LABELS).targets_seen(
        Batch((), torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([0.4, 0.6]))
    )
    assert seen.tolist() == [1, 0]


def scaled(*units):
    """Return the shape of a task whose values have these standard units."""
    shape = (len(units),) if len(units) > 1 else ()
    return replace(VALUES, outputs=len(units), target=Target(shape=shape, centre=(5.0,) * len(units), scale=units))


@pytest.mark.parametrize(("loss", "function"), [("mse", F.mse_loss), ("huber", F.huber_loss)])
def test_values_are_learned_in_standard_units_and_predicted_in_their_own(loss, function):
    made = criterion(scaled(100.0), loss=loss)
    outputs, targets = logits(6, 1), torch.tensor([-100.0, 0, 100, -50, 200, -300])
    scores = made.scores(outputs)
    expected = function(outputs[:, 0].double(), targets.double() / 100)
    torch.testing.assert_close(made.training_loss(scores, Batch((), targets)).double(), expected)
    torch.testing.assert_close(made.loss(scores, targets).double(), expected)
    torch.testing.assert_close(made.predictions(scores), outputs[:, 0] * 100)


def test_mixed_values_are_learned_from_both_targets():
    made = criterion(VALUES)
    scores, first, second = logits(4, 1)[:, 0], torch.arange(4.0), torch.arange(4.0).flip(0)
    mix_B = torch.tensor([0.1, 0.5, 0.9, 1.0])
    batch = Batch((), first, second, mix_B)
    expected = (mix_B * (scores - first) ** 2 + (1 - mix_B) * (scores - second) ** 2).mean()
    torch.testing.assert_close(made.training_loss(scores, batch), expected)
    torch.testing.assert_close(made.targets_seen(batch), mix_B * first + (1 - mix_B) * second)


def test_several_values_keep_their_columns():
    made = criterion(scaled(10.0, 0.5))
    targets, units = torch.ones(4, 2), torch.tensor([10.0, 0.5])
    scores = made.scores(logits(4, 2))
    torch.testing.assert_close(made.loss(scores, targets), F.mse_loss(logits(4, 2), targets / units))
    torch.testing.assert_close(made.predictions(scores), logits(4, 2) * units)


def test_targets_without_spread_are_not_divided_by_it():
    assert criterion(scaled(0.0)).loss(torch.zeros(3), torch.zeros(3)) == 0.0


def test_a_model_with_the_wrong_number_of_values_is_not_broadcast():
    made = criterion(VALUES)
    with pytest.raises(RuntimeError):
        made.loss(made.scores(logits(4, 2)), torch.ones(4))


@pytest.mark.parametrize(
    ("shape", "training", "message"),
    [
        (LABELS, {"loss": "mse"}, "loss: 'mse' does not fit a classification task"),
        (
            VALUES,
            {"loss": "cross_entropy"},
            "loss: 'cross_entropy' does not fit a regression task; use auto, mse or huber",
        ),
        (LABELS, {"loss": "binary"}, "loss: 'binary' needs two classes, the task has 3"),
        (VALUES, {"label_smoothing": 0.1}, "label_smoothing: is for classes"),
        (VALUES, {"class_weights": "balanced"}, "class_weights: is for classes"),
    ],
)
def test_an_option_that_does_not_fit_the_task_is_refused(shape, training, message):
    with pytest.raises(InputError, match=message):
        criterion(shape, **training)


@pytest.mark.parametrize(
    ("shape", "loss", "outputs"),
    [(LABELS, "auto", 3), (PAIR, "auto", 2), (PAIR, "binary", 1), (VALUES, "auto", 1), (VALUES, "huber", 1)],
)
def test_a_binary_loss_needs_one_output(shape, loss, outputs):
    assert outputs_for(shape, loss) == outputs
