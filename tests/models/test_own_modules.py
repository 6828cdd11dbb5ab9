"""A user's own module: imported only when trusted, and held to the shape of the task."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.errors import InputError
from harness.models import build, evaluating, validate
from harness.models.calling import begin_training
from harness.records import Named, TaskKind, TaskShape, table_inputs

SHAPE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(2, cardinalities=(4,)))
SOURCE = """
import torch
from torch import nn

imported = True

class Net(nn.Module):
    def __init__(self, shape, width=4, outputs=None):
        super().__init__()
        self.embed = nn.Embedding(shape.inputs[1].cardinalities[0], width)
        self.output = nn.Linear(shape.inputs[0].sizes[0] + width, outputs or shape.outputs)
        self.noise = nn.Dropout()
        self.noise.eval()

    def forward(self, x, c):
        torch.rand(1)
        return self.output(torch.cat([x, self.embed(c[:, 0])], dim=1))

def build(shape, **params):
    return Net(shape, **params)

class Returns(nn.Module):
    def __init__(self, shape, what):
        super().__init__()
        self.what = what

    def forward(self, x, c):
        return {"none": None, "whole": x.new_zeros(len(x), 3).long(), "flat": x.new_zeros(3)}[self.what]

class Fails(nn.Module):
    def __init__(self, shape):
        super().__init__()

    def forward(self, x):
        return x

def no_module(shape):
    return 3

def raises(shape):
    raise KeyError("lost\\nlines")
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the path whose import can be seen; forgotten afterwards."""
    (tmp_path / "own_nets").mkdir()
    (tmp_path / "own_nets" / "__init__.py").touch()
    (tmp_path / "own_nets" / "net.py").write_text(SOURCE)
    (tmp_path / "own_nets" / "broken.py").write_text("def (:")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_nets"
    for name in [name for name in sys.modules if name.split(".")[0] == "own_nets"]:
        del sys.modules[name]


def own(path, **params):
    return Named("mine", {"family": path, **params})


@pytest.mark.usefixtures("package")
def test_nothing_is_imported_without_trust():
    with pytest.raises(InputError, match=r"architecture\.mine\.family: .*runs its code.*--trust"):
        build(own("own_nets.net:build"), SHAPE)
    validate(own("own_nets.net:build"))
    assert "own_nets.net" not in sys.modules


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("path", ["own_nets.net:build", "own_nets.net:Net"])
def test_a_trusted_function_is_called_with_the_shape_and_the_other_parameters(path):
    model = build(own(path, width=7), SHAPE, trust=True)
    assert isinstance(model, nn.Module)
    assert model.embed.embedding_dim == 7


@pytest.mark.usefixtures("package")
def test_the_probe_leaves_modes_and_random_numbers_as_they_were():
    torch.manual_seed(0)
    build(own("own_nets.net:build"), SHAPE, trust=True)  # the first import may draw
    torch.manual_seed(0)
    model = build(own("own_nets.net:build"), SHAPE, trust=True)
    after_building = torch.rand(1)
    torch.manual_seed(0)
    type(model)(SHAPE)
    assert torch.equal(after_building, torch.rand(1))
    assert (model.training, model.noise.training) == (True, False)


@pytest.mark.usefixtures("package")
def test_a_trusted_module_can_be_built_on_the_meta_device():
    with torch.device("meta"):
        assert build(own("own_nets.net:build"), SHAPE, trust=True).output.weight.is_meta


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (own("own_nets.net"), r"expected 'package.module:function', got 'own_nets.net'"),
        (own(3), r"expected 'package.module:function', got 3"),
        (own("../net:build"), r"expected 'package.module:function'"),
        (own("own_nets.none:build"), r"cannot import 'own_nets.none': ModuleNotFoundError.*PYTHONPATH"),
        (own("own_nets.broken:build"), r"cannot import 'own_nets.broken': SyntaxError"),
        (own("own_nets.net:biuld"), r"has no attribute 'biuld'"),
        (own("own_nets.net:imported"), r"is not callable, it is a value of type bool"),
        (own("own_nets.net:no_module"), r"must return a torch.nn.Module, it returned a value of type int"),
        (own("own_nets.net:raises"), r"own_nets.net:raises raised KeyError: "),
        (own("own_nets.net:build", depth=3), r"raised TypeError: .*depth"),
        (own("own_nets.net:build", outputs=2), r"must return shape \(2, 3\) for 2 samples, it returned \(2, 2\)"),
        (own("own_nets.net:Returns", what="flat"), r"it returned \(3,\)"),
        (own("own_nets.net:Returns", what="none"), r"must return a tensor of shape \(2, 3\), it returned .* NoneType"),
        (own("own_nets.net:Returns", what="whole"), r"must return floating-point numbers, it returned torch.int64"),
        (own("own_nets.net:Fails"), r"fails on a batch of 2: TypeError"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(architecture, message):
    with pytest.raises(InputError, match=message) as error:
        build(architecture, SHAPE, trust=True)
    assert str(error.value).startswith("architecture.mine.family: ")
    assert "\n" not in str(error.value)


def test_the_form_of_the_path_is_checked_without_importing():
    with pytest.raises(InputError, match=r"expected 'package\.module:function'"):
        validate(own("net.py"))


class Frozen(nn.Sequential):
    """Freezes its first part as many do: by an override of ``train()``."""

    def train(self, mode=True):
        super().train(mode)
        self[0].eval()
        return self


def layers(kind=nn.Sequential):
    return kind(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 3))


def modes_of(model):
    return [layer.training for layer in model]


def test_both_ways_to_freeze_a_part_have_their_say():
    overridden, by_hand, whole, plain = layers(Frozen), layers(), layers().eval(), layers()
    by_hand[0].eval()
    for model in (overridden, by_hand, whole, plain):
        begin_training(model)
    assert modes_of(overridden) == modes_of(by_hand) == [False, True, True]
    assert modes_of(whole) == modes_of(plain) == [True, True, True]


@settings(max_examples=50)
@given(modes=st.lists(st.booleans(), min_size=3, max_size=3), kind=st.sampled_from([nn.Sequential, Frozen]))
def test_evaluation_leaves_every_mode_as_it_was(modes, kind):
    model = layers(kind)
    for layer, training in zip(model, modes, strict=True):
        layer.training = training
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert modes_of(model) == modes
    begin_training(model)
    once = modes_of(model)
    begin_training(model)
    assert modes_of(model) == once, "what is ready to be trained is left as it is"
