"""Streamed metrics against scikit-learn."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from harness.problems import problems
from harness.problems.labels import ConfusionMatrix
from harness.problems.values import Residuals
from harness.records import TaskKind, TaskShape, table_inputs

CPU = torch.device("cpu")
CLASSES = 5

labels = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)
values = st.floats(-1e3, 1e3, width=32)


def confusion(pairs, classes=CLASSES, batch=7):
    """Stream pairs of target and prediction through a confusion matrix, a few at a time."""
    matrix = ConfusionMatrix(classes, CPU)
    for batch_pairs in torch.tensor(pairs).split(batch):
        targets, predictions = batch_pairs.T
        matrix.update(torch.nn.functional.one_hot(predictions, classes).float(), targets)
    return matrix


def residuals(outputs, targets, batch=3):
    streamed = Residuals(CPU)
    for some_outputs, some_targets in zip(outputs.split(batch), targets.split(batch), strict=True):
        streamed.update(some_outputs, some_targets)
    return streamed.metrics()


def reference_values(outputs, targets):
    outputs, targets = outputs.double().numpy(), targets.double().numpy()
    return {
        "rmse": reference.root_mean_squared_error(targets, outputs),
        "mae": reference.mean_absolute_error(targets, outputs),
        "r2": reference.r2_score(targets, outputs),
    }


@given(pairs=labels)
@settings(max_examples=50)
def test_label_metrics_equal_scikit_learn(pairs):
    targets, predictions = zip(*pairs, strict=True)
    expected = {"accuracy": reference.accuracy_score(targets, predictions)}
    for average in ("macro", "weighted"):
        scores = reference.precision_recall_fscore_support(targets, predictions, average=average, zero_division=0)
        for name, score in zip(("precision", "recall", "f1"), scores, strict=False):
            expected[f"{name}_{average}"] = score
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that are not there
        expected["mcc"] = reference.matthews_corrcoef(targets, predictions)
        expected["balanced_accuracy"] = reference.balanced_accuracy_score(targets, predictions)
        expected["kappa"] = reference.cohen_kappa_score(targets, predictions)
    del expected["precision_weighted"], expected["recall_weighted"]
    found = confusion(pairs).metrics()
    assert ("loss", *found) == problems["classification"].summed
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


@given(pairs=labels)
@settings(max_examples=25)
def test_scores_per_class_and_the_table_equal_scikit_learn(pairs):
    targets, predictions = zip(*pairs, strict=True)
    matrix, every_class = confusion(pairs), list(range(CLASSES))
    expected = reference.precision_recall_fscore_support(targets, predictions, labels=every_class, zero_division=0)
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert matrix.per_class()[name] == pytest.approx(column.tolist(), rel=1e-12)
    assert matrix.table() == reference.confusion_matrix(targets, predictions, labels=every_class).tolist()


def test_a_class_that_never_occurs_does_not_lower_the_macro_average():
    assert confusion([(0, 0), (1, 1)]).metrics()["f1_macro"] == 1.0
    assert confusion([(0, 0), (1, 1), (1, 4)]).metrics()["recall_macro"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_single_logits_predict_the_second_class_above_zero():
    matrix = ConfusionMatrix(2, CPU)
    matrix.update(torch.tensor([[-1.0], [0.0], [2.0], [3.0]]), torch.tensor([0, 1, 1, 0]))
    assert matrix.table() == [[1, 1], [1, 1]]


def test_predicted_classes_are_taken_as_they_are():
    matrix = ConfusionMatrix(3, CPU)
    matrix.update(torch.tensor([2, 0, 1]), torch.tensor([2, 1, 1]))
    assert matrix.table() == [[0, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_updates_need_no_gradient_and_no_value_on_the_host(monkeypatch):
    matrix, errors = ConfusionMatrix(3, CPU), Residuals(CPU)
    monkeypatch.setattr(torch.Tensor, "item", lambda _: pytest.fail("waits for the device"))
    monkeypatch.setattr(torch.Tensor, "cpu", lambda _: pytest.fail("waits for the device"))
    matrix.update(torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0]))
    errors.update(torch.randn(4, 1, requires_grad=True), torch.randn(4))
    monkeypatch.undo()
    assert not math.isnan(matrix.metrics()["accuracy"])
    assert not math.isnan(errors.metrics()["rmse"])


def test_nothing_added_is_nan():
    assert all(math.isnan(value) for value in ConfusionMatrix(2, CPU).metrics().values())
    empty = Residuals(CPU)
    empty.update(torch.empty(0, 1), torch.empty(0))
    assert all(math.isnan(value) for value in empty.metrics().values())


@given(pairs=st.lists(st.tuples(values, values), min_size=2, max_size=30), batch=st.integers(1, 30))
@settings(max_examples=50)
def test_value_metrics_equal_scikit_learn(pairs, batch):
    outputs, targets = torch.tensor(pairs).T
    found = residuals(outputs[:, None], targets, batch)
    assert ("loss", *found) == problems["regression"].summed
    expected = reference_values(outputs, targets)
    # r2 is a ratio: where the spread of the targets vanishes beside their size, both lose digits
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6, -1e7])
def test_value_metrics_keep_their_digits_far_from_zero_and_in_sorted_order(offset):
    generator = np.random.default_rng(0)
    targets = np.sort(generator.normal(offset, 3.0, size=1000)).astype(np.float32)
    outputs = (targets + generator.normal(0.0, 1.0, size=1000)).astype(np.float32)
    outputs, targets = torch.from_numpy(outputs), torch.from_numpy(targets)
    assert residuals(outputs, targets, batch=64) == pytest.approx(reference_values(outputs, targets), rel=1e-9)


def test_several_values_a_sample_are_averaged_as_in_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(20, 3, generator=generator) * torch.tensor([1.0, 10.0, 100.0])
    outputs = targets + torch.randn(20, 3, generator=generator)
    assert residuals(outputs, targets) == pytest.approx(reference_values(outputs, targets), rel=1e-9)


@pytest.mark.parametrize(("outputs", "r2"), [([0.1, 0.1, 0.1, 0.1], 1.0), ([0.1, 0.1, 0.1, 0.2], 0.0)])
def test_constant_targets_give_r2_as_in_scikit_learn(outputs, r2):
    outputs, targets = torch.tensor(outputs), torch.full((4,), 0.1)
    assert residuals(outputs, targets)["r2"] == r2 == reference_values(outputs, targets)["r2"]


def test_one_sample_has_no_r2():
    found = residuals(torch.tensor([[2.0]]), torch.tensor([1.0]))
    assert (found["rmse"], found["mae"]) == (1.0, 1.0)
    assert math.isnan(found["r2"])


def test_outputs_that_are_not_numbers_give_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = residuals(torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0]))
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(("outputs", "classes"), [(3, 3), (2, 2), (1, 2)])
def test_a_classification_task_is_measured_by_a_confusion_matrix(outputs, classes):
    measure = problems["classification"].quality(
        TaskShape(kind=TaskKind.CLASSIFICATION, outputs=outputs, inputs=table_inputs(1)), CPU
    )
    measure.update(torch.zeros(2, outputs), torch.tensor([0, 1]))
    assert isinstance(measure, ConfusionMatrix)
    assert len(measure.table()) == classes


def test_a_regression_task_is_measured_by_residuals():
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(1))
    measure = problems["regression"].quality(shape, CPU)
    measure.update(torch.tensor([[1.0], [3.0]]), torch.tensor([1.0, 1.0]))
    assert measure.metrics()["mae"] == 1.0
