"""scikit-learn's models as modules of torch: they say what scikit-learn says, and no file is trusted."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.utils.class_weight import compute_sample_weight

from harness.models import Samples, build, families, fitting_of, parse
from harness.models.families.classical.inputs import CATEGORIES, OneHot
from harness.models.families.classical.trees import rounded_down
from harness.records import Named, Target, TaskKind, TaskShape, image_inputs, table_inputs

SEED = 3


def shape_of(inputs, outputs, *, values=False):
    kind = TaskKind.REGRESSION if values else TaskKind.CLASSIFICATION
    return TaskShape(kind=kind, outputs=outputs, inputs=inputs, target=Target())


def fitted(architecture, shape, inputs, targets, *, weights=None, stages=None, seed=SEED):
    """Return the module, fitted in its stages to arrays."""
    model, fitting = build(architecture, shape), fitting_of(architecture)
    tensors = tuple(map(torch.from_numpy, inputs))
    samples = Samples(tensors, targets, weights, seed, stages or min(2, fitting.stages), lambda: None)
    for _ in fitting.fit(parse(architecture), model, samples):
        pass
    return model.eval()


@torch.no_grad()
def said(model, *inputs):
    return model(*map(torch.from_numpy, inputs)).double()


def table(name):
    raw = getattr(datasets, f"load_{name}")()
    return StandardScaler().fit_transform(raw.data).astype(np.float32), raw.target


@pytest.fixture(scope="module")
def mixed():
    """Numbers beside categories, of which some do not occur among the samples to fit."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(400, 3)).astype(np.float32)
    codes = np.column_stack([rng.integers(1, 12, 400), rng.integers(0, 5, 400)])
    score = numbers[:, 0] + np.isin(codes[:, 0], [2, 5, 7, 11]) * 2 - (codes[:, 1] == 3) + rng.normal(size=400) / 3
    return numbers, codes, score, table_inputs(3, (15, 6))


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_boosting_of_classes_is_scikit_learns(name):
    x, y = table(name)
    model = fitted(
        Named("hist_gradient_boosting", {"max_iter": 12}),
        shape_of(table_inputs(x.shape[1]), 3 if name == "wine" else 2),
        (x,),
        y,
    )
    known = HistGradientBoostingClassifier(max_iter=12, random_state=SEED).fit(x, y)
    assert np.abs(said(model, x).softmax(1).numpy() - known.predict_proba(x)).max() < 1e-6


def test_boosting_of_values_is_scikit_learns():
    x, y = table("diabetes")
    y = StandardScaler().fit_transform(y[:, None])
    params = {"max_iter": 20, "learning_rate": 0.2, "max_leaf_nodes": 7, "min_samples_leaf": 5, "max_features": 0.5}
    model = fitted(Named("hist_gradient_boosting", params), shape_of(table_inputs(10), 1, values=True), (x,), y)
    known = HistGradientBoostingRegressor(**params, random_state=SEED).fit(x, y[:, 0])
    assert np.abs(said(model, x)[:, 0].numpy() - known.predict(x)).max() < 1e-6


def test_boosting_splits_categories_as_scikit_learn_does_those_that_are_new_too(mixed):
    numbers, codes, score, inputs = mixed
    params = {"max_iter": 15, "min_samples_leaf": 5}
    y = (score > 0.5).astype(np.int64)
    model = fitted(Named("hist_gradient_boosting", params), shape_of(inputs, 2), (numbers, codes), y)
    known = HistGradientBoostingClassifier(**params, categorical_features=[3, 4], random_state=SEED)
    known.fit(np.column_stack([numbers, codes]), y)
    other = codes.copy()
    other[::3, 0], other[1::3, 1] = 0, 5  # which none of the samples have
    expected = known.predict_proba(np.column_stack([numbers, other]))
    assert len(model.trees.goes_left) > 10
    assert np.abs(said(model, numbers, other).softmax(1).numpy() - expected).max() < 1e-6


def test_boosting_in_one_stage_and_in_ten_is_the_same():
    x, y = table("wine")
    architecture, shape = Named("hist_gradient_boosting", {"max_iter": 20}), shape_of(table_inputs(13), 3)
    once, staged = (fitted(architecture, shape, (x,), y, stages=stages) for stages in (1, 10))
    assert all(torch.equal(tensor, staged.state_dict()[name]) for name, tensor in once.state_dict().items())


def test_a_forest_takes_each_sample_to_the_leaf_that_scikit_learn_takes_it_to(mixed):
    numbers, codes, score, inputs = mixed
    y = np.digitize(score, [0.0, 1.0])
    model = fitted(Named("random_forest", {"n_estimators": 23}), shape_of(inputs, 3), (numbers, codes), y)
    hot = OneHotEncoder(categories=[range(15), range(6)], sparse_output=False).fit_transform(codes)
    x = np.column_stack([numbers, hot])
    known = RandomForestClassifier(n_estimators=23, random_state=SEED).fit(x, y)
    with torch.no_grad():
        nodes = model.trees(model.columns(torch.from_numpy(numbers), torch.from_numpy(codes))) - model.trees.roots
    assert np.array_equal(nodes.numpy(), known.apply(x))
    assert np.abs(said(model, numbers, codes).softmax(1).numpy() - known.predict_proba(x)).max() < 1e-6


def test_a_forest_of_values_is_scikit_learns():
    x, y = table("diabetes")
    y = np.column_stack([y, y**2 / 100.0])
    params = {"n_estimators": 12, "max_depth": 6, "min_samples_leaf": 2, "max_features": 0.5}
    model = fitted(Named("random_forest", params), shape_of(table_inputs(10), 2, values=True), (x,), y / 100.0)
    known = RandomForestRegressor(**params, random_state=SEED).fit(x, y / 100.0)
    assert np.abs(said(model, x).numpy() - known.predict(x)).max() < 1e-6


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_a_linear_model_of_classes_is_scikit_learns(name):
    x, y = table(name)
    model = fitted(Named("linear", {"c": 0.3}), shape_of(table_inputs(x.shape[1]), y.max() + 1), (x,), y)
    known = LogisticRegression(C=0.3, max_iter=1000).fit(x.astype(np.float64), y)
    assert np.abs(said(model, x).softmax(1).numpy() - known.predict_proba(x.astype(np.float64))).max() < 1e-6


def test_a_linear_model_of_values_is_ridge_regression():
    x, y = table("diabetes")
    y = StandardScaler().fit_transform(y[:, None])
    model = fitted(Named("linear", {"c": 0.1}), shape_of(table_inputs(10), 1, values=True), (x,), y)
    known = Ridge(alpha=10.0).fit(x.astype(np.float64), y[:, 0])
    assert np.abs(said(model, x)[:, 0].numpy() - known.predict(x.astype(np.float64))).max() < 1e-6


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_are_scikit_learns(weights):
    x, y = table("wine")
    model = fitted(Named("nearest_neighbours", {"weights": weights}), shape_of(table_inputs(13), 3), (x[::2],), y[::2])
    known = KNeighborsClassifier(weights=weights).fit(x[::2], y[::2])
    assert np.abs(said(model, x[1::2]).softmax(1).numpy() - known.predict_proba(x[1::2])).max() < 1e-6
    assert (said(model, x[::2]).argmax(1).numpy() == known.predict(x[::2])).all()


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_of_values_are_scikit_learns(weights):
    x, y = table("diabetes")
    architecture = Named("nearest_neighbours", {"weights": weights, "n_neighbors": 8})
    shape = shape_of(table_inputs(10), 1, values=True)
    model = fitted(architecture, shape, (x[::2],), y[::2, None] / 100.0)
    known = KNeighborsRegressor(8, weights=weights).fit(x[::2], y[::2] / 100.0)
    assert np.abs(said(model, x[1::2])[:, 0].numpy() - known.predict(x[1::2])).max() < 1e-6


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_an_svm_of_classes_has_the_probabilities_of_a_calibrated_one(name):
    x, y = table(name)
    model = fitted(Named("svm", {"c": 2.0, "gamma": 0.5}), shape_of(table_inputs(x.shape[1]), y.max() + 1), (x,), y)
    machine = SVC(C=2.0, gamma=0.5 / (x.shape[1] * x.astype(np.float64).var()))
    wide = x.astype(np.float64)
    known = CalibratedClassifierCV(
        machine if name == "breast_cancer" else OneVsRestClassifier(machine), cv=3, ensemble=False
    ).fit(wide, y)
    assert np.abs(said(model, x).softmax(1).numpy() - known.predict_proba(wide)).max() < 1e-6


def test_an_svm_of_values_is_scikit_learns():
    x, y = table("diabetes")
    y = StandardScaler().fit_transform(y[:, None])
    model = fitted(Named("svm", {"epsilon": 0.2}), shape_of(table_inputs(10), 1, values=True), (x,), y)
    wide = x.astype(np.float64)
    known = SVR(gamma="scale", epsilon=0.2).fit(wide, y[:, 0])
    assert np.abs(said(model, x)[:, 0].numpy() - known.predict(wide)).max() < 1e-6


CLASSICAL = [
    Named("hist_gradient_boosting", {"max_iter": 6}),
    Named("linear"),
    Named("nearest_neighbours"),
    Named("random_forest", {"n_estimators": 10}),
    Named("svm"),
]
SMALL = {
    "hist_gradient_boosting": {"max_iter": 15, "max_leaf_nodes": 5},
    "random_forest": {"min_samples_leaf": 10, "n_estimators": 20},
}
every_family = pytest.mark.parametrize("architecture", CLASSICAL, ids=lambda named: named.name)


def test_every_fitted_family_is_tested_here():
    """But for the one of series, which test_minirocket.py has."""
    tested = {named.name for named in CLASSICAL} | {"minirocket"}
    assert tested == {name for name, known in families.items() if known.fitting}


@every_family
def test_a_class_without_samples_has_the_least_probability(architecture):
    x, y = table("wine")
    few = y != 1
    model = fitted(architecture, shape_of(table_inputs(13), 3), (x[few],), y[few])
    shares = said(model, x).softmax(1)
    assert shares[:, 1].max() < 1e-6
    assert (shares[few].argmax(1).numpy() == y[few]).mean() > 0.95


@every_family
def test_one_output_is_the_logit_of_the_second_class(architecture):
    x, y = table("breast_cancer")
    x, y = x[::4, :5].copy(), y[::4]
    both, one = (fitted(architecture, shape_of(table_inputs(5), outputs), (x,), y) for outputs in (2, 1))
    torch.testing.assert_close(said(one, x)[:, 0].sigmoid(), said(both, x).softmax(1)[:, 1], atol=1e-6, rtol=0)


@every_family
def test_balanced_weights_find_more_of_a_rare_class(architecture):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=300) > 2.0).astype(np.int64)
    weights = compute_sample_weight("balanced", y)
    shape = shape_of(table_inputs(2), 2)
    architecture = Named(architecture.name, SMALL.get(architecture.name, {}))
    plain, balanced = (said(fitted(architecture, shape, (x,), y, weights=each), x) for each in (None, weights))
    assert (balanced.argmax(1) == 1).sum() > (plain.argmax(1) == 1).sum()


@every_family
def test_a_state_gives_a_new_module_what_the_first_one_says(architecture):
    x, y = table("wine")
    shape = shape_of(table_inputs(13), 3)
    model = fitted(architecture, shape, (x,), y)
    other = build(architecture, shape)
    assert torch.equal(other(torch.from_numpy(x)), torch.zeros(len(x), 3))
    other.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(said(other, x), said(model, x))
    assert torch.equal(said(copy.deepcopy(other), x), said(model, x))


@every_family
def test_pixels_are_columns(architecture):
    raw = datasets.load_digits()
    x, y = (raw.images[:200, None] / 16.0).astype(np.float32), raw.target[:200]
    model = fitted(architecture, shape_of(image_inputs(1, 8, 8), 10), (x,), y)
    assert (said(model, x).argmax(1).numpy() == y).mean() > 0.85


@every_family
def test_samples_of_one_class_are_refused(architecture):
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    with pytest.raises(ValueError, match="all samples to fit are of one class"):
        fitted(architecture, shape_of(table_inputs(2), 2), (x,), np.zeros(20, np.int64))


def test_of_many_categories_the_commonest_have_columns_of_their_own():
    codes = np.repeat(np.arange(40), np.arange(40) + 1)[:, None]
    model = OneHot(shape_of(table_inputs(0, (40,)), 2))
    samples = Samples((torch.zeros(len(codes), 0), torch.from_numpy(codes)), codes[:, 0], None, 0, 1, lambda: None)
    hot = model.fit(samples)
    assert hot.shape == (len(codes), CATEGORIES)
    places = hot.argmax(1)
    own = {int(code): set(places[codes[:, 0] == code]) for code in range(40)}
    assert all(own[code] == {39 - code} for code in range(21, 40))
    assert all(own[code] == {CATEGORIES - 1} for code in range(21))


@given(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_threshold_that_is_rounded_down_parts_the_same_numbers(threshold, number):
    (rounded,) = rounded_down(np.array([threshold]))
    assert (np.float32(number) <= rounded) == (number <= threshold)


@pytest.fixture(scope="module")
def forest():
    x, y = table("wine")
    return fitted(Named("random_forest", {"n_estimators": 5}), shape_of(table_inputs(13), 3), (x,), y)


def tampered(state, name, change):
    state = {key: tensor.clone() for key, tensor in state.items()}
    state[name] = change(state[name])
    return state


def put(place, value):
    def change(tensor):
        tensor[place] = value
        return tensor

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("trees.left", put(0, 0), "reached in two ways, or comes before its parent"),
        ("trees.right", put(0, 10**6), "a node of its trees is none"),
        ("trees.feature", put(0, 13), "asks for a column that is none"),
        ("trees.feature", put(0, -1), "asks for a column that is none"),
        ("trees.threshold", put(0, float("nan")), "no finite number"),
        ("trees.value", put((0, 0), float("inf")), "no finite number"),
        ("trees.roots", put(0, 1), "reached in two ways"),
        ("trees.left", lambda tensor: tensor[:-1], "parts of different lengths"),
        ("trees.left", lambda tensor: tensor.double(), "not as it is fitted"),
        ("trees.left", lambda tensor: tensor[:, None], "not as it is fitted"),
        ("answers.classes", put(0, 9), "do not fit each other"),
    ],
)
def test_a_state_that_is_no_forest_is_refused_and_changes_nothing(forest, name, change, message):
    model = build(Named("random_forest"), shape_of(table_inputs(13), 3))
    with pytest.raises(RuntimeError, match=message):
        model.load_state_dict(tampered(forest.state_dict(), name, change))
    assert len(model.get_buffer(name)) == 0 or name == "answers.classes"


def test_a_chain_of_splits_is_refused_where_a_walk_would_be_long(forest):
    nodes = 10_001
    left = torch.arange(nodes).add(1).where(torch.arange(nodes) % 2 == 0, torch.arange(nodes))
    right = torch.arange(nodes).add(2).where(torch.arange(nodes) % 2 == 0, torch.arange(nodes))
    left[-1] = right[-1] = nodes - 1
    chain = {
        **forest.state_dict(),
        "trees.roots": torch.tensor([0]),
        "trees.left": left,
        "trees.right": right,
        "trees.feature": torch.zeros(nodes, dtype=torch.int64),
        "trees.threshold": torch.zeros(nodes),
        "trees.subset": torch.full((nodes,), -1),
        "trees.value": torch.zeros(nodes, 3),
    }
    with pytest.raises(RuntimeError, match="deeper than 4096 splits"):
        build(Named("random_forest"), shape_of(table_inputs(13), 3)).load_state_dict(chain)


@settings(max_examples=60)
@given(
    st.sampled_from(["left", "right", "feature", "roots", "subset"]),
    st.integers(0, 10**4),
    st.integers(-(2**40), 2**40) | st.integers(-3, 200),
)
def test_whatever_is_written_into_a_forest_it_is_refused_or_walked_to_an_end(forest, name, place, value):
    model = build(Named("random_forest"), shape_of(table_inputs(13), 3))
    state = tampered(forest.state_dict(), f"trees.{name}", lambda t: put(place % len(t), value)(t))
    try:
        model.load_state_dict(state)
    except RuntimeError:
        return
    assert model(torch.zeros(2, 13)).isfinite().all()


@pytest.mark.parametrize(
    ("architecture", "name", "change"),
    [
        ("linear", "weight", lambda tensor: tensor[:, 1:]),
        ("linear", "bias", put(0, float("nan"))),
        ("nearest_neighbours", "values", lambda tensor: tensor[1:]),
        ("nearest_neighbours", "samples", put((0, 0), float("inf"))),
        ("svm", "weight", lambda tensor: tensor[1:]),
        ("svm", "gamma", put(0, float("nan"))),
        ("hist_gradient_boosting", "baseline", put(0, float("inf"))),
    ],
)
def test_other_states_that_do_not_fit_are_refused(architecture, name, change):
    x, y = table("wine")
    shape, named = shape_of(table_inputs(13), 3), Named(architecture)
    model = fitted(named, shape, (x,), y, stages=1)
    with pytest.raises(RuntimeError, match=r"finite|not 13|columns|sizes"):
        build(named, shape).load_state_dict(tampered(model.state_dict(), name, change))
