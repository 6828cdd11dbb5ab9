"""What ``preprocessing:`` puts in front of a network, against scikit-learn, pandas and closed forms."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer, RobustScaler

from harness.errors import InputError
from harness.models import Preprocessed, build, count_flops, families
from harness.models.families.mlp import MLP
from harness.models.families.realmlp import RealMLP
from harness.models.scaling import Interpolated, RobustClip, normal_knots
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.spec import Preprocessing
from harness.train.weights import groups_of

LEVELS = np.linspace(0.0, 1.0, 129)
DRAWN = np.random.default_rng(0)
COLUMNS = np.stack([DRAWN.normal(size=2000), DRAWN.lognormal(0.0, 2.0, 2000), DRAWN.uniform(size=2000)], axis=1)
X_NF = ((COLUMNS - COLUMNS.mean(0)) / COLUMNS.std(0)).astype(np.float32)
DISTRIBUTION = tuple(tuple(np.quantile(x_N, LEVELS).astype(np.float32).tolist()) for x_N in X_NF.T)
QUANTILES = tuple(each[::16] for each in DISTRIBUTION)
COUNTS = ((100, 3, 50, 4), (2, 2, 1), (9, 8, 7, 6, 5, 4, 3, 2))
CARDINALITIES = tuple(len(counts) + 1 for counts in COUNTS)
SHAPE = TaskShape(
    kind=TaskKind.CLASSIFICATION,
    outputs=2,
    inputs=table_inputs(3, CARDINALITIES, QUANTILES, distribution=DISTRIBUTION, counts=COUNTS),
)

NETWORKS = sorted(name for name, each in families.items() if not each.why_not(SHAPE) and each.fitting is None)


def built(name="mlp", shape=SHAPE, params=None, **options):
    torch.manual_seed(0)
    return build(Named(name, params or {}), shape, preprocessing=Preprocessing(**options)).eval()


def codes(batch=40):
    return torch.stack([torch.arange(batch) % count for count in CARDINALITIES], dim=1)


def along(distribution, values):
    line = Interpolated([normal_knots(distribution)])
    return line(torch.tensor(values, dtype=torch.float32)[:, None])[:, 0].double().numpy()


def test_quantile_maps_as_scikit_learn_does():
    line = Interpolated([normal_knots(each) for each in DISTRIBUTION])
    theirs = QuantileTransformer(n_quantiles=129, output_distribution="normal", subsample=None).fit(X_NF)
    at_NF = np.array(DISTRIBUTION, np.float32).T
    np.testing.assert_allclose(line(torch.from_numpy(at_NF)), theirs.transform(at_NF), atol=1e-4)
    beyond = np.concatenate([X_NF, X_NF.max(0, keepdims=True) + 2.0, X_NF.min(0, keepdims=True) - 2.0])
    # Between two quantiles theirs follows the normal distribution's curve, this a line.
    np.testing.assert_allclose(line(torch.from_numpy(beyond)), theirs.transform(beyond), atol=0.025)


def test_a_number_that_many_samples_have_is_in_the_middle_of_its_levels():
    normal = NormalDist().inv_cdf
    # Of 129 quantiles 65 are 0, the levels from 0 to a half; one of two values is no outlier of the other.
    assert along([0.0] * 65 + [1.0] * 64, [-1.0, 0.0, 1.0, 2.0]) == pytest.approx(
        [normal(0.25), normal(0.25), normal(193 / 256), normal(193 / 256)], abs=1e-5
    )
    inside = np.sort(np.concatenate([np.linspace(-2.0, 2.0, 89), np.full(40, 0.5)]))
    theirs = QuantileTransformer(n_quantiles=129, output_distribution="normal").fit(inside[:, None])
    assert along(inside, [0.5]) == pytest.approx(theirs.transform([[0.5]])[0], abs=1e-4)


@given(
    st.lists(st.floats(-3, 3, width=16), min_size=2, max_size=40),
    st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=20),
)
def test_it_never_falls_nor_leaves_the_bounds_whatever_repeats(numbers, values):
    found = along(np.quantile(numbers, np.linspace(0.0, 1.0, 17)).astype(np.float32), sorted(values))
    assert np.all(np.diff(found) >= -1e-5)
    assert np.all(np.abs(found) <= 5.2)


def test_robust_clip_is_the_papers_formula():
    scaled = RobustScaler().fit_transform(X_NF.astype(np.float64))
    found = RobustClip(DISTRIBUTION, 3)(torch.from_numpy(X_NF))
    np.testing.assert_allclose(found, scaled / np.sqrt(1.0 + (scaled / 3.0) ** 2), atol=2e-3)
    # Where the quartiles are one number, half of the range takes their place.
    found = RobustClip([[0.0] * 7 + [1.0, 4.0]], 1)(torch.tensor([[4.0]]))
    assert found.item() == pytest.approx(2.0 / np.sqrt(1.0 + (2.0 / 3.0) ** 2))


@pytest.mark.parametrize("numeric", ["robust_clip", "quantile"])
def test_the_network_is_built_for_the_numbers_that_it_sees(numeric):
    model = built(params={"numeric": "piecewise_linear"}, numeric=numeric)
    seen = model.inputs(torch.tensor(QUANTILES).T, torch.zeros(9, 3, dtype=torch.int64))[0]
    told = np.array(model.inputs.shape.inputs[0].quantiles)
    np.testing.assert_allclose(told, seen.T, atol=1e-5)
    assert (np.diff(told) > 0).all()
    assert model.network.numeric.encodings == 3 * 8


@pytest.mark.parametrize("options", [{"rare": 5}, {"one_hot": 4}, {"rare": 5, "one_hot": 3}, {"one_hot": 99}], ids=str)
def test_categories_are_as_pandas_has_them(options):
    c_BK, x_BF = codes(), torch.randn(40, 3)
    seen_BF, *kept = built(**options).inputs(x_BF, c_BK)
    dummies, left = [x_BF.numpy()], []
    for column, counts in enumerate(COUNTS):
        name = pd.Series(c_BK[:, column].numpy())
        rare = [code for code, count in enumerate(counts, 1) if count < options.get("rare", 1)]
        name = name.replace(rare, 99)
        categories = sorted({*range(1, len(counts) + 1)} - {*rare}) + [99] * bool(rare)
        known = pd.Categorical(name.where(name > 0), categories=categories)
        if len(categories) <= options.get("one_hot", 0):
            dummies.append(pd.get_dummies(known, dtype=np.float32).to_numpy())
        else:
            left.append(known.codes + 1)
    np.testing.assert_array_equal(seen_BF, np.concatenate(dummies, axis=1))
    assert len(kept) == bool(left)
    if left:
        np.testing.assert_array_equal(kept[0], np.stack(left, axis=1))


def test_what_is_left_out_is_no_part_of_a_model():
    plain = built()
    assert type(plain) is MLP
    x, c = torch.randn(5, 3), codes(5)
    assert torch.equal(plain(x, c), build_plain()(x, c))
    behind = built(numeric="quantile", one_hot=4)
    assert not [name for name in behind.state_dict() if not name.startswith("network.")]


def build_plain():
    torch.manual_seed(0)
    return build(Named("mlp"), SHAPE).eval()


def test_a_family_with_a_way_of_its_own_keeps_it():
    assert type(built("realmlp", numeric="quantile", one_hot=20)) is RealMLP
    model = built("realmlp", numeric="quantile", rare=5)
    assert isinstance(model, Preprocessed)
    assert model.inputs.numeric is None
    # Two frequent and all rare ones; what has rare ones alone has one category left.
    assert model.inputs.shape.inputs[1].cardinalities == (4, 2, 7)
    assert type(built("linear", numeric="quantile", rare=5)) is type(built("linear"))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_for_tables_takes_what_comes_out(name):
    for options in ({"numeric": "quantile", "rare": 5}, {"numeric": "robust_clip", "one_hot": 99}):
        with torch.no_grad():
            assert built(name, **options)(torch.randn(6, 3), codes(6)).shape == (6, 2)


def test_parts_of_a_network_learn_as_they_do_without_it():
    model = built("tabm", params={"width": 8, "members": 2}, numeric="quantile")
    without = {id(p) for name, p in model.named_parameters() if name.endswith(("scale", "bias"))}
    groups = groups_of(model, 0.1, 0.5)
    decayed = {id(p) for group in groups for p in group["params"] if group["weight_decay"]}
    assert without
    assert not without & decayed
    assert decayed


def test_it_costs_no_flops():
    one = torch.randn(1, 3), codes(1)
    found = [count_flops(built(rare=5, **more), one).values["flops"] for more in ({}, {"numeric": "quantile"})]
    assert found[0] == found[1] > 0


@pytest.mark.parametrize("options", [{"numeric": "quantile"}, {"rare": 2}, {"one_hot": 3}], ids=str)
def test_images_are_refused(options):
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 4, 4))
    (key,) = options
    for name in ("mlp", "linear"):
        with pytest.raises(
            InputError, match=rf"^preprocessing\.{key}: is for the columns of a table, .* has image inputs"
        ):
            built(name, shape, **options)


@pytest.mark.parametrize("options", [{"numeric": "robust_clip"}, {"rare": 2}], ids=str)
def test_what_is_not_known_of_a_table_is_said(options):
    unknown = replace(SHAPE, inputs=table_inputs(3, CARDINALITIES, QUANTILES))
    (key,) = options
    with pytest.raises(InputError, match=rf"^preprocessing\.{key}: .* is not known; leave it out"):
        built(shape=unknown, **options)


def test_tables_of_numbers_or_of_categories_alone():
    numbers = replace(SHAPE, inputs=table_inputs(3, (), QUANTILES, distribution=DISTRIBUTION))
    assert built(shape=numbers, numeric="quantile", rare=5)(torch.randn(2, 3)).shape == (2, 2)
    assert type(built(shape=numbers, rare=5, one_hot=5)) is MLP
    categories = replace(SHAPE, inputs=table_inputs(0, CARDINALITIES, counts=COUNTS))
    assert built(shape=categories, numeric="quantile", one_hot=99)(torch.empty(5, 0), codes(5)).shape == (5, 2)
