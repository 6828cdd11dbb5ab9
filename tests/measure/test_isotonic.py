"""Isotonic calibration, against scikit-learn: the fit, the module around a model, and what torch exports of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss
from torch import nn

from harness.measure.isotonic import along_curves, fit_isotonic
from harness.models import Curve, Isotonic, calibrated
from harness.problems import Undefined


def drawn(samples, classes, *, seed=0, sharpness=3.0):
    """Return probabilities that are too sure, and classes drawn from the true ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (samples, classes))
    sums = softmax(logits, axis=1).cumsum(axis=1)
    targets = (generator.random((samples, 1)) > sums).sum(axis=1).clip(max=classes - 1)
    return softmax(sharpness * logits, axis=1).astype(np.float32), targets


class Told(ClassifierMixin, BaseEstimator):
    """An estimator whose inputs are its probabilities."""

    def __init__(self, classes=2):
        self.classes = classes

    def fit(self, _inputs, _targets):
        self.classes_ = np.arange(self.classes)
        return self

    def predict(self, shares):
        return shares.argmax(axis=1)

    def predict_proba(self, shares):
        return shares


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_it_is_scikit_learns_calibration_but_for_certainty(classes):
    shares, targets = drawn(3_000, classes)
    estimator = FrozenEstimator(Told(classes).fit(shares, targets))
    reference = CalibratedClassifierCV(estimator, method="isotonic").fit(shares.astype(np.float64), targets)
    fitted = along_curves(shares, fit_isotonic(shares, targets))
    np.testing.assert_allclose(fitted, reference.predict_proba(shares.astype(np.float64)), atol=classes / 3_002)
    assert log_loss(targets, fitted) < log_loss(targets, shares) - 0.1


def test_one_curve_is_the_regression_with_bounds_at_any_probability():
    shares, targets = drawn(2_000, 2)
    new = np.linspace(0.0, 1.0, 999, dtype=np.float32)
    regression = IsotonicRegression(y_min=1 / 2_002, y_max=1 - 1 / 2_002, out_of_bounds="clip")
    expected = regression.fit(shares[:, 1].astype(np.float64), targets).predict(new.astype(np.float64))
    fitted = along_curves(np.stack([1.0 - new, new], axis=1), fit_isotonic(shares, targets))
    np.testing.assert_allclose(fitted[:, 1], expected, atol=2e-6)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(0.3, 4.0), st.integers(2, 4))
def test_order_stays_sums_are_one_and_the_loss_of_two_classes_is_no_worse(seed, sharpness, classes):
    shares, targets = drawn(1_200, classes, seed=seed, sharpness=sharpness)
    curves = fit_isotonic(shares, targets)
    fitted = along_curves(shares, curves)
    np.testing.assert_allclose(fitted.sum(axis=1), 1.0, atol=1e-6)
    assert (fitted > 0.0).all()
    own = Isotonic(nn.Identity(), curves).along(torch.from_numpy(shares[:, 1:] if classes == 2 else shares)).numpy()
    for curve, x in zip(own.T, shares[:, 1:].T if classes == 2 else shares.T, strict=True):
        assert (np.diff(curve[np.argsort(x, kind="stable")]) >= -1e-6).all()
    if classes == 2:
        bounded = np.clip(shares, 1 / 1_202, 1 - 1 / 1_202)
        assert log_loss(targets, fitted) <= log_loss(targets, bounded) + 1e-5


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_the_module_returns_logits_of_what_the_curves_say(classes):
    shares, targets = drawn(1_500, max(2, classes))
    curves, logits = fit_isotonic(shares, targets), torch.from_numpy(np.log(shares))
    model = calibrated(nn.Identity(), 1.0, curves).eval()
    if classes == 1:
        logits = logits[:, 1:] - logits[:, :1]
        second = logits.sigmoid().numpy()
        expected, found = along_curves(np.hstack([1.0 - second, second]), curves), model(logits).sigmoid()
        expected = expected[:, 1:]
    else:
        expected, found = along_curves(logits.softmax(dim=1).numpy(), curves), model(logits).softmax(dim=1)
    assert found.shape == (1_500, classes)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("curve", [Curve((0.4,), (0.3,)), Curve((0.5, 0.5 + 1e-12), (0.1, 0.9))])
def test_a_level_curve_and_a_step_too_narrow_for_float32_are_finite(curve):
    second = torch.tensor([0.0, 0.4999, 0.5001, 1.0])
    shares = torch.stack([1 - second, second], dim=1)
    fitted = Isotonic(nn.Identity(), (curve,)).of_probabilities(shares)[:, 1]
    torch.testing.assert_close(fitted, torch.tensor([curve.y[0]] * 2 + [curve.y[-1]] * 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch's exporter of itself
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_onnxruntime_says_the_same_of_any_batch(outputs, tmp_path):
    runtime, _ = pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    curves = fit_isotonic(*drawn(1_200, max(2, outputs)))
    model = Isotonic(nn.Linear(4, outputs), curves).eval()
    assert set(model.state_dict()) == {"model.weight", "model.bias"}, "its weights are the model's own"
    batch = (({0: torch.export.Dim("batch", min=1)},),)
    torch.onnx.export(
        model, (torch.randn(7, 4),), tmp_path / "m.onnx", dynamo=True, dynamic_shapes=batch, verbose=False
    )
    session = runtime.InferenceSession(tmp_path / "m.onnx")
    inputs = torch.randn(13, 4)
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    np.testing.assert_allclose(found, model(inputs).detach(), rtol=1e-3, atol=1e-4)


def test_too_few_samples_are_told():
    with pytest.raises(Undefined, match="validation has 999 samples, of which it takes 1,000"):
        fit_isotonic(*drawn(999, 2))
    shares, targets = drawn(1_200, 2)
    targets[:] = 0
    targets[:49] = 1
    with pytest.raises(Undefined, match="validation has 49 samples of a class, of which it takes 50"):
        fit_isotonic(shares, targets)
