"""``minirocket`` against its definition in loops, its ridge model against scikit-learn's, and damaged states."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from sklearn import datasets
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.preprocessing import StandardScaler

from harness.models import Samples, build, families, fitting_of, parse
from harness.models.families.classical import minirocket
from harness.models.families.classical.answers import LEAST
from harness.models.families.classical.minirocket import spreads_of
from harness.problems.order import of_steps
from harness.records import Input, InputKind, Named, Target, TaskKind, TaskShape, image_inputs, table_inputs

STEPS = 30
FEATURES = {"features": 420}
KERNELS = [np.where(np.isin(range(9), threes), 2.0, -1.0) for threes in itertools.combinations(range(9), 3)]
GOLDEN = (np.sqrt(5.0) + 1.0) / 2.0


def shape_of(channels=1, *, outputs=3, masked=False, values=False, steps=STEPS):
    mask = (Input(kind=InputKind.MASK, shape=(steps,), dtype="bool"),) if masked else ()
    kind = TaskKind.REGRESSION if values else TaskKind.CLASSIFICATION
    series = Input(kind=InputKind.SERIES, shape=(steps, channels))
    return TaskShape(kind=kind, outputs=outputs, inputs=(series, *mask), target=Target())


def waves(count=60, channels=1, *, classes=3, masked=False, seed=0):
    """Return series whose classes are frequencies at random phases, which no linear model of the steps can tell."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, classes, count)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, channels))
    x = np.sin(np.arange(STEPS)[:, None] * (0.5 + 0.5 * known[:, None, None]) + phase)
    x = (x + 0.3 * rng.normal(size=x.shape)).astype(np.float32)
    if not masked:
        return (x,), known
    mask = np.arange(STEPS) < rng.integers(15, STEPS + 1, (count, 1))
    return (x * mask[..., None], mask), known


def fitted(shape, inputs, targets, *, weights=None, seed=3):
    architecture = Named("minirocket", FEATURES)
    model = build(architecture, shape)
    samples = Samples(tuple(map(torch.from_numpy, inputs)), targets, weights, seed, 1, lambda: None)
    for _ in fitting_of(architecture).fit(parse(architecture), model, samples):
        pass
    return model.eval()


@torch.no_grad()
def said(model, inputs):
    return model(*map(torch.from_numpy, inputs)).double()


def convolution(series_TC, kernel, spread, chosen_C):
    """Return it step by step, zeros around the series."""
    summed = series_TC[:, chosen_C].sum(axis=1).astype(np.float64)
    at = [[t + spread * (j - 4) for j in range(9)] for t in range(len(summed))]
    return np.array([sum(w * summed[i] for w, i in zip(kernel, row) if 0 <= i < len(summed)) for row in at])  # noqa: B905


@pytest.mark.parametrize(("channels", "masked"), [(1, False), (3, True)])
def test_features_are_shares_of_steps_above_quantiles_of_convolutions(channels, masked):
    (x, *mask), known = waves(8, channels, masked=masked)
    model = fitted(shape_of(channels, masked=masked), (x, *mask), known)
    with torch.no_grad():
        features = model.convolutions(*map(torch.from_numpy, (x, *mask))).double().numpy()
    lengths = mask[0].sum(axis=1) if masked else np.full(8, STEPS)
    biases, chosen = model.convolutions.biases.double().numpy(), model.convolutions.chosen.numpy()
    assert set(chosen.sum(axis=1).ravel()) == set(range(1, channels + 1))
    column, drawn = 0, set()
    for place, (spread, count) in enumerate(model.convolutions.spreads):
        for number, kernel in list(enumerate(KERNELS)):
            own = biases[column : column + count]
            if number % 6 == place:  # the others are alike, and loops take their time
                values = [
                    convolution(each[:length], kernel, spread, chosen[place, :, number])
                    for each, length in zip(x, lengths, strict=True)
                ]
                quantiles = np.arange(column + 1, column + count + 1) * GOLDEN % 1.0
                fitting = [
                    row for row, v in enumerate(values) if np.allclose(np.quantile(v, quantiles), own, atol=1e-4)
                ]
                assert fitting, "the biases are quantiles of one of the series"
                drawn.update(fitting)
                counted = [v if (place + number) % 2 == 0 else v[4 * spread : -4 * spread] for v in values]
                for bias, found in zip(own, features[:, column : column + count].T, strict=True):
                    steps = np.array([max(len(v), 1) for v in counted])
                    low, high = (np.array([(v > bias + by).sum() for v in counted]) / steps for by in (1e-4, -1e-4))
                    assert ((low - 1e-6 <= found) & (found <= high + 1e-6)).all()
            column += count
    assert column == features.shape[1] == 420
    assert len(drawn) > 3


@pytest.mark.parametrize("steps", [9, 10, 24, 150, 1460])
def test_spreads_grow_evenly_on_a_log_scale_to_what_fits(steps):
    spreads = spreads_of(steps, 10_000)
    assert sum(count for _, count in spreads) == 119
    sizes = [spread for spread, _ in spreads]
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, (steps - 1) // 8) or sizes[-1] == (steps - 1) // 8 - 1
    exponents = np.linspace(0, np.log2((steps - 1) / 8), 32)
    shares = Counter((2**exponents).astype(int).tolist())
    assert all(abs(count - 119 / 32 * shares[spread]) <= 1 for spread, count in spreads)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_its_model_is_scikit_learns_ridge_classifier_but_for_a_factor(classes, weighted):
    inputs, known = waves(classes=classes)
    weights = np.random.default_rng(0).uniform(0.2, 2.0, len(known)) if weighted else None
    model = fitted(shape_of(outputs=classes), inputs, known, weights=weights)
    with torch.no_grad():
        features = model.convolutions(*map(torch.from_numpy, inputs)).double().numpy()
    scaled = StandardScaler(with_mean=False).fit_transform(features)
    ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)).fit(scaled, known, sample_weight=weights)
    weight = model.weight.double().numpy() * features.std(axis=0)
    factor = float(np.abs(weight).sum() / np.abs(ridge.coef_).sum())
    assert factor > 1.0
    np.testing.assert_allclose(weight, factor * np.atleast_2d(ridge.coef_), atol=1e-4)
    scores = ridge.decision_function(scaled)
    scores = scores if classes > 2 else np.column_stack([-scores, scores])
    expected = torch.from_numpy(factor * scores).log_softmax(1).clamp(min=LEAST)
    torch.testing.assert_close(said(model, inputs), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_neither_too_sure_nor_too_unsure_of_other_series(classes):
    """Of noisy series: hardly any temperature would be better, and a tenth of the logits would be far worse."""
    rng = np.random.default_rng(2)
    (x,), known = waves(400, classes=classes)
    x = x + 2.0 * rng.normal(size=x.shape).astype(np.float32)
    model = fitted(shape_of(outputs=classes), (x[:200],), known[:200])
    logits = said(model, (x[200:],))
    losses = {by: F.cross_entropy(by * logits, torch.from_numpy(known[200:])).item() for by in np.logspace(-1, 1, 21)}
    assert losses[1.0] < min(losses.values()) + 0.03
    assert losses[0.1] > losses[1.0] + 0.05


@pytest.mark.parametrize("masked", [False, True])
def test_it_tells_frequencies_at_any_phase(masked):
    train, known = waves(masked=masked)
    other, right = waves(masked=masked, seed=1)
    model = fitted(shape_of(masked=masked), train, known)
    assert (said(model, other).argmax(1).numpy() == right).mean() > 0.95
    assert (said(fitted(shape_of(masked=masked), train, known, seed=4), other) != said(model, other)).any()


def test_values_are_those_of_ridge_regression():
    (x,), known = waves()
    targets = np.column_stack([known - 1.0, x.std(axis=(1, 2))])
    model = fitted(shape_of(outputs=2, values=True), (x,), targets)
    with torch.no_grad():
        features = model.convolutions(torch.from_numpy(x)).double().numpy()
    scaled = StandardScaler(with_mean=False).fit_transform(features)
    ridge = RidgeCV(alphas=np.logspace(-3, 3, 10)).fit(scaled, targets)
    np.testing.assert_allclose(said(model, (x,)).numpy(), ridge.predict(scaled), atol=1e-4)


def test_what_stands_behind_the_end_of_a_series_changes_nothing():
    (x, mask), known = waves(masked=True)
    model = fitted(shape_of(masked=True), (x, mask), known)
    longer = said(model, (np.pad(x, ((0, 0), (0, 9), (0, 0))), np.pad(mask, ((0, 0), (0, 9)))))
    torch.testing.assert_close(longer, said(model, (x, mask)), atol=1e-5, rtol=0)


def test_an_image_is_the_series_of_its_columns_and_few_steps_are_enough():
    raw = datasets.load_digits()
    images, known = (raw.images[:300, None] / 16.0).astype(np.float32), raw.target[:300]
    model = fitted(replace(shape_of(outputs=10), inputs=image_inputs(1, 8, 8)), (images[:200],), known[:200])
    assert (said(model, (images[200:],)).argmax(1).numpy() == known[200:]).mean() > 0.85
    columns = np.ascontiguousarray(images[:, 0].swapaxes(1, 2))
    as_series = fitted(shape_of(8, outputs=10, steps=8), (columns[:200],), known[:200])
    assert torch.equal(said(as_series, (columns,)), said(model, (images,)))


def test_one_output_is_the_logit_of_the_second_class_and_a_class_without_samples_is_the_least_likely():
    inputs, known = waves(classes=2)
    one, two, three = (fitted(shape_of(outputs=outputs), inputs, known) for outputs in (1, 2, 3))
    shares = said(two, inputs).softmax(1)
    torch.testing.assert_close(said(one, inputs)[:, 0].sigmoid(), shares[:, 1], atol=1e-6, rtol=0)
    assert said(three, inputs).softmax(1)[:, 2].max() < 1e-6


def test_a_state_gives_a_new_module_what_the_first_one_says_and_another_is_refused():
    inputs, known = waves(channels=2, masked=True)
    shape = shape_of(2, masked=True)
    model, other = fitted(shape, inputs, known), build(Named("minirocket", FEATURES), shape)
    assert torch.equal(said(other, inputs), torch.zeros(60, 3).double())
    state = load(save(model.state_dict()))
    for name, change in {
        "weight": lambda tensor: tensor[:, 1:],
        "bias": lambda tensor: tensor / 0.0,
        "convolutions.biases": lambda tensor: tensor[1:],
        "convolutions.chosen": lambda tensor: tensor[:, :1],
        "answers.classes": lambda tensor: tensor[:2],
    }.items():
        with pytest.raises(RuntimeError, match=r"finite|features|biases|rows"):
            build(Named("minirocket", FEATURES), shape).load_state_dict({**state, name: change(state[name])})
    with pytest.raises(RuntimeError, match="for 9996 features"):
        build(Named("minirocket"), shape).load_state_dict(state)
    other.load_state_dict(state)
    assert torch.equal(said(other, inputs), said(model, inputs))


def test_what_it_cannot_be_fitted_to_is_told():
    why_not = families["minirocket"].why_not
    table = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(3))
    assert why_not(table) == "takes series or series and mask or image inputs, the task has numeric inputs"
    told = "is for classes and for values, the task is forecasting"
    assert why_not(replace(shape_of(), kind=TaskKind.FORECASTING)) == told
    assert not why_not(shape_of(masked=True, values=True))
    inputs, known = waves()
    with pytest.raises(ValueError, match="all samples to fit are of one class"):
        fitted(shape_of(), inputs, known * 0)


def test_of_too_many_series_some_are_drawn_and_that_is_warned_of(monkeypatch):
    monkeypatch.setattr(minirocket, "ROWS", 40)
    inputs, known = waves(masked=True)
    weights = np.linspace(0.5, 2.0, 60)
    with pytest.warns(UserWarning, match="minirocket is fitted to 40 of 60 samples, drawn at random"):
        model = fitted(shape_of(masked=True), inputs, known, weights=weights)
    rows = np.sort(np.random.default_rng(3).permutation(60)[:40])
    fewer = fitted(shape_of(masked=True), tuple(x[rows] for x in inputs), known[rows], weights=weights[rows])
    assert torch.equal(said(model, inputs), said(fewer, inputs))


@pytest.mark.parametrize("classes", [2, 3])
def test_of_classes_in_an_order_it_says_the_steps_that_give_the_same_probabilities(classes):
    inputs, known = waves(classes=classes)
    plain = fitted(shape_of(outputs=classes), inputs, known)
    ordered = fitted(replace(shape_of(outputs=classes - 1), kind="ordinal"), inputs, known)
    assert said(ordered, inputs).shape == (60, classes - 1)
    torch.testing.assert_close(of_steps(said(ordered, inputs)), said(plain, inputs).log_softmax(1), atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
def test_what_is_exported_gives_the_same_answers(masked):
    import onnxruntime
    from torch.export import Dim

    from harness.exporting.program import quiet

    inputs, known = waves(channels=2, masked=masked)
    model = fitted(shape_of(2, masked=masked), inputs, known)
    tensors = tuple(map(torch.from_numpy, inputs))
    batch = tuple({0: Dim("batch")} for _ in inputs)
    few = tuple(each[:4] for each in tensors)
    with torch.no_grad(), quiet():
        program = torch.export.export(model, few, dynamic_shapes=((*batch,)), strict=False)
        converted = torch.onnx.export(program, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(converted.model_proto.SerializeToString())
    names = [each.name for each in session.get_inputs()]
    (answers,) = session.run(None, dict(zip(names, inputs, strict=True)))
    np.testing.assert_allclose(answers, said(model, inputs).numpy(), atol=1e-2)
