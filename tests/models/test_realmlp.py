"""The realmlp family against NumPy, scikit-learn and closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import RobustScaler

from harness.errors import InputError
from harness.models import build
from harness.models.families.realmlp import Cosines, NTKLinear, Parametric, RobustClip
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.train.weights import groups_of, matrices

INPUTS = table_inputs(2, (3, 6, 12, 1), ((-1.0, 0.0, 3.0), (0.0, 1.0, 2.0, 3.0, 4.0)))
SHAPE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=INPUTS)


def realmlp(shape=SHAPE, **params):
    torch.manual_seed(0)
    return build(Named("realmlp", {"width": 8, **params}), shape)


def samples(batch=6):
    torch.manual_seed(1)
    codes = [torch.randint(0, count, (batch,)) for count in INPUTS[1].cardinalities]
    return torch.randn(batch, 2), torch.stack(codes, dim=1)


def test_numbers_are_scaled_as_by_scikit_learn_and_clipped_smoothly():
    x = np.random.default_rng(0).lognormal(size=(481, 1))
    quantiles = np.quantile(x[:, 0], np.linspace(0.0, 1.0, 25))
    found = RobustClip([quantiles.tolist()], 1)(torch.from_numpy(x).float()).double().numpy()
    scaled = RobustScaler().fit_transform(x)
    np.testing.assert_allclose(found, scaled / np.sqrt(1 + (scaled / 3) ** 2), rtol=1e-4, atol=1e-5)
    assert np.abs(found).max() < 3.0


def test_numbers_whose_quantiles_are_not_known_are_only_clipped():
    x = torch.tensor([[4.0, 4.0]])
    for clip in (RobustClip([], 2), RobustClip([(1.0,), ()], 2)):
        torch.testing.assert_close(clip(x), torch.full((1, 2), 2.4))  # 4 / sqrt(1 + 16 / 9)


def test_beside_each_number_stand_combinations_of_its_own_cosines():
    torch.manual_seed(0)
    layer = Cosines(3)
    x_BF = torch.randn(5, 3)
    found = layer(x_BF).detach().double().numpy().reshape(5, 3, 4)
    w, p, v, b = (getattr(layer, name).detach().double().numpy() for name in ("frequency", "phase", "weight", "bias"))
    for row in range(5):
        for column in range(3):
            x = x_BF[row, column].item()
            beside = np.cos(2 * np.pi * x * w[column, 0] + p[column, 0]) @ v[column] + b[column, 0]
            np.testing.assert_allclose(found[row, column], [x, *beside], rtol=1e-4, atol=1e-5)


def test_categories_are_as_pandas_has_dummies_and_two_are_one_column():
    model = realmlp()
    two, five, twelve, none = model.categories
    assert two(torch.tensor([0, 1, 2])).tolist() == [[0.0], [-1.0], [1.0]]
    codes = [3, 0, 5, 1]
    known = [None if code == 0 else code for code in codes]
    dummies = pd.get_dummies(pd.Categorical(known, categories=range(1, 6)), dtype=float)
    np.testing.assert_array_equal(five(torch.tensor(codes)).numpy(), dummies.to_numpy())
    assert isinstance(twelve, torch.nn.Embedding)
    assert (twelve.embedding_dim, twelve.weight[0].abs().sum().item()) == (8, 0.0)
    assert none(torch.tensor([0, 0])).shape == (2, 0)
    assert realmlp(numeric="plain").scale.factor.shape == (2 + 1 + 5 + 8,)


def test_a_linear_layer_is_that_of_the_ntk_and_the_last_one_begins_at_zero():
    torch.manual_seed(0)
    layer, x = NTKLinear(400, 300), torch.randn(50, 400)
    expected = x.double() @ layer.weight.double().T / 20.0 + layer.bias.double()
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-4, atol=1e-4)
    assert layer(x).std().item() == pytest.approx(2**0.5, rel=0.03)  # weights and bias have unit variance
    assert (realmlp()(*samples()) == 0.0).all()


def test_an_activation_goes_from_itself_to_the_identity():
    layer, x = Parametric(torch.nn.SELU(), 3), torch.randn(4, 3)
    torch.testing.assert_close(layer(x), torch.selu(x))
    with torch.no_grad():
        layer.share.copy_(torch.tensor([0.0, 0.5, 1.0]))
    expected = torch.stack([x[:, 0], (x + torch.selu(x))[:, 1] / 2, torch.selu(x)[:, 2]], dim=1)
    torch.testing.assert_close(layer(x), expected)


def test_parts_learn_at_their_own_rates_and_biases_do_not_decay():
    model = realmlp(scale_rate=4.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (round(group["lr"] / 0.02, 6), group["weight_decay"])
        for group in groups_of(model, 0.02, 0.5)
        for parameter in group["params"]
    }
    assert found["scale.factor"] == (4.0, 0.0)
    assert found["hidden.0.linear.weight"] == found["output.weight"] == (1.0, 0.5)
    assert {found[f"hidden.{place}.linear.bias"] for place in range(3)} == {(0.1, 0.0)}
    assert found["hidden.0.activation.share"] == found["numeric.phase"] == found["numeric.bias"] == (0.1, 0.0)
    assert found["numeric.frequency"] == found["numeric.weight"] == (0.1, 0.5)
    assert found["categories.2.weight"] == (1.0, 0.5)
    assert {names[id(matrix)] for matrix in matrices(model)} == {
        "hidden.0.linear.weight",
        "hidden.1.linear.weight",
        "hidden.2.linear.weight",
        "output.weight",
    }


configurations = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 3),
        "width": st.integers(4, 12),
        "activation": st.sampled_from(["selu", "mish", "relu"]),
        "dropout": st.sampled_from([0.0, 0.3]),
        "numeric": st.sampled_from(["plain", "pbld"]),
    }
)


@given(params=configurations)
@settings(max_examples=20)
def test_every_configuration_has_the_parameters_of_the_closed_form(params):
    model = realmlp(**params)
    with torch.no_grad():
        model.output.weight.normal_()
    y = model(*samples())
    assert y.shape == (6, 3)
    y.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    cosines = params["numeric"] == "pbld"
    inputs, width = (8 if cosines else 2) + 1 + 5 + 8, params["width"]
    hidden = (inputs + 2) * width + (params["depth"] - 1) * (width + 2) * width
    beside = 2 * (16 + 16 + 48 + 3) if cosines else 0
    assert sum(p.numel() for p in model.parameters()) == beside + 12 * 8 + inputs + hidden + (width + 1) * 3


def test_a_table_of_categories_alone_is_taken():
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(0, (3, 4)))
    assert realmlp(shape)(torch.empty(5, 0), torch.ones(5, 2, dtype=torch.int64)).shape == (5, 1)


def test_images_are_told_what_fits_them():
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 8, 8))
    with pytest.raises(InputError, match=r"^architecture.realmlp: takes numeric or numeric and categorical inputs"):
        realmlp(shape)
