"""scikit-learn's models of quantiles, as modules of torch: against its own, and NumPy's quantiles."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import QuantileRegressor
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import nn

from harness.errors import InputError
from harness.models import Samples, build, families, fitting_of, parse
from harness.models.families.classical import linear
from harness.models.families.classical.answers import quantiles_of
from harness.records import Named, Target, TaskKind, TaskShape, table_inputs

LEVELS = (0.1, 0.45, 0.9)
SEED = 3
SHAPE = TaskShape(
    kind=TaskKind.QUANTILE_REGRESSION, outputs=3, inputs=table_inputs(10), target=Target(quantiles=LEVELS)
)
ROOMY: dict[str, dict[str, int]] = {
    "hist_gradient_boosting": {"max_iter": 30, "max_leaf_nodes": 4},
    "nearest_neighbours": {"n_neighbors": 40},
    "random_forest": {"min_samples_leaf": 10},
}
"""With so many samples that they are not fitted to their noise."""
KINDS = ("hist_gradient_boosting", "linear", "nearest_neighbours", "random_forest")


@pytest.fixture(scope="module")
def table() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    raw = datasets.load_diabetes()
    x, y = (StandardScaler().fit_transform(each) for each in (raw.data, raw.target[:, None]))
    return x.astype(np.float32), y


def fitted(architecture: Named, x: NDArray[Any], y: NDArray[Any], *, stages: int = 2) -> nn.Module:
    model, fitting = build(architecture, SHAPE), fitting_of(architecture)
    assert fitting is not None
    samples = Samples((torch.from_numpy(x),), y, None, SEED, min(stages, fitting.stages), lambda: None)
    for _ in fitting.fit(parse(architecture), model, samples):
        pass
    return model.eval()


@torch.no_grad()
def said(model: nn.Module, x: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = model(torch.from_numpy(x)).double().numpy()
    return found


def test_boosting_of_quantiles_is_scikit_learns(table: tuple[NDArray[Any], NDArray[Any]]) -> None:
    x, y = table
    params = {"max_iter": 20, "learning_rate": 0.2, "max_leaf_nodes": 7, "min_samples_leaf": 5}

    model = fitted(Named("hist_gradient_boosting", params), x, y)

    for place, level in enumerate(LEVELS):
        known = HistGradientBoostingRegressor(**params, loss="quantile", quantile=level, random_state=SEED)
        assert np.abs(said(model, x)[:, place] - known.fit(x, y[:, 0]).predict(x)).max() < 1e-6


def test_a_linear_model_of_quantiles_is_scikit_learns(table: tuple[NDArray[Any], NDArray[Any]]) -> None:
    x, y = table

    model = fitted(Named("linear", {"c": 0.1}), x, y)

    for place, level in enumerate(LEVELS):
        known = QuantileRegressor(quantile=level, alpha=10.0 / len(x)).fit(x.astype(np.float64), y[:, 0])
        assert np.abs(said(model, x)[:, place] - known.predict(x.astype(np.float64))).max() < 1e-5


def test_a_linear_program_takes_no_more_samples_than_it_has_time_for(
    table: tuple[NDArray[Any], NDArray[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = table
    monkeypatch.setattr(linear, "PROGRAM", 10 * 100.0**2)

    with pytest.warns(UserWarning, match="linear is fitted to 100 of 442 samples, drawn at random"):
        model = fitted(Named("linear"), x, y)

    below = (y <= said(model, x)).mean(axis=0)
    assert np.abs(below - LEVELS).max() < 0.1


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_quantiles_of_neighbours_are_numpys(table: tuple[NDArray[Any], NDArray[Any]], weights: str) -> None:
    x, y = table

    model = fitted(Named("nearest_neighbours", {"n_neighbors": 7, "weights": weights}), x[::2], y[::2])

    distances, places = NearestNeighbors(n_neighbors=7).fit(x[::2].astype(np.float64)).kneighbors(x[1::2])
    counts = 1.0 / distances if weights == "distance" else np.ones_like(distances)
    expected = [
        np.quantile(y[::2, 0][near], LEVELS, method="inverted_cdf", weights=own)
        for near, own in zip(places, counts, strict=True)
    ]
    assert np.abs(said(model, x[1::2]) - np.array(expected)).max() < 1e-6


def test_a_forest_says_quantiles_of_one_sample_of_each_leaf(table: tuple[NDArray[Any], NDArray[Any]]) -> None:
    x, y = table
    params = {"n_estimators": 30, "min_samples_leaf": 5}

    model = fitted(Named("random_forest", params), x, y)

    known = RandomForestRegressor(**params, random_state=SEED).fit(x, y[:, 0])
    with torch.no_grad():
        nodes = model.trees(torch.from_numpy(x))
        values = model.trees.value[nodes, 0].numpy()
    leaves = known.apply(x)
    for tree in range(30):
        assert np.array_equal((nodes - model.trees.roots).numpy()[:, tree], leaves[:, tree])
        for leaf in np.unique(leaves[:, tree])[:10]:
            there = leaves[:, tree] == leaf
            (value,) = np.unique(values[there, tree])
            assert np.float32(value) in y[there, 0].astype(np.float32)
    expected = np.quantile(values, LEVELS, axis=1, method="inverted_cdf").T
    assert np.abs(said(model, x) - expected).max() < 1e-6


@pytest.mark.parametrize("name", KINDS)
def test_on_samples_that_were_not_seen_quantiles_cover_about_what_they_say(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 10)).astype(np.float32)
    y = (x[:, :1] + (0.5 + (x[:, 1:2] > 0)) * rng.normal(size=(1200, 1))).astype(np.float64)
    params = ROOMY.get(name, {})

    found = said(fitted(Named(name, params), x[:800], y[:800]), x[800:])

    assert np.abs((y[800:] <= found).mean(axis=0) - LEVELS).max() < 0.1


@pytest.mark.parametrize("name", KINDS)
def test_a_state_gives_a_new_module_what_the_first_one_says(
    table: tuple[NDArray[Any], NDArray[Any]], name: str
) -> None:
    model = fitted(Named(name), *table)
    other = build(Named(name), SHAPE)
    other.load_state_dict(model.state_dict())

    assert np.array_equal(said(other, table[0]), said(model, table[0]))


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=12),
    levels=st.lists(st.sampled_from([0.013, 0.11, 0.29, 0.51, 0.77, 0.97]), min_size=1, max_size=3),
    seed=st.integers(0, 100),
)
def test_weighted_quantiles_are_numpys(values: list[float], levels: list[float], seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.1, 1.0, len(values))

    found = quantiles_of(torch.tensor([values], dtype=torch.float64), torch.from_numpy(weights)[None], levels)

    assert found[0].tolist() == np.quantile(values, levels, method="inverted_cdf", weights=weights).tolist()


def test_a_support_vector_machine_says_that_it_has_no_quantiles() -> None:
    with pytest.raises(InputError, match=r"architecture\.svm: is for classification and regression, the task is quant"):
        build(Named("svm"), SHAPE)


def test_every_other_fitted_family_of_tables_has_them() -> None:
    fitting = {name for name, known in families.items() if known.fitting and not known.why_not(SHAPE)}

    assert fitting == set(KINDS)


def test_few_samples_are_all_taken_without_a_word(table: tuple[NDArray[Any], NDArray[Any]]) -> None:
    x, y = table
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(Named("linear"), x, y)
