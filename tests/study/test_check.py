import pytest

from harness.errors import SpecError
from harness.spec import load_spec, parse_spec, shipped_spaces
from harness.study import check_spec


def check(space):
    check_spec(parse_spec(f"task: digits\nspace: {space}", origin="x"))


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_shipped_spaces_pass(name):
    check_spec(load_spec(name))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{architecture: {mpl: {}}}", "space.architecture: unknown architecture 'mpl'; did you mean 'mlp'?"),
        ("{architecture: {mlp: {deph: 3}}}", "space.architecture.mlp.deph: unknown key; did you mean 'depth'?"),
        ("{architecture: {mlp: {depth: {int: [1, 1000]}}}}", "space.architecture.mlp.depth"),
        ("{architecture: {mlp: {activation: [relu, rellu]}}}", "space.architecture.mlp.activation"),
        ("{architecture: {mlp: {width: {float: [8, 64.5]}}}}", "space.architecture.mlp.width"),
        ("{architecture: {cnn: {head: {linear: {}, mlpp: {}}}}}", "space.architecture.cnn.head"),
        ("{architecture: {cnn: {head: {mlp: {width: [8, 0]}}}}}", "space.architecture.cnn.head.mlp.width"),
        ("{architecture: mlp, optimizer: {sgdd: {}}}", "did you mean 'sgd'?"),
        ("{architecture: mlp, optimizer: {sgd: {lr: {float: [-1, 1]}}}}", "space.optimizer.sgd.lr"),
        ("{architecture: mlp, optimizer: {sgd: {momentun: 0.9}}}", "did you mean 'momentum'?"),
        ("{architecture: mlp, schedule: cosin}", "did you mean 'cosine'?"),
        ("{architecture: mlp, schedule: {cosine: {warmup_epochs: -1}}}", "space.schedule.cosine.warmup_epochs"),
    ],
)
def test_a_value_that_a_family_would_not_take_is_found_before_the_search(space, message):
    with pytest.raises(SpecError) as caught:
        check(space)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "space",
    [
        "{architecture: [mlp, cnn], optimizer: [adam, rmsprop]}",
        "{architecture: {cnn: {head: {linear: {}, mlp: {width: {int: [8, 64]}}}, kernel: [3, 5]}}}",
        "{architecture: {mine: {family: 'my_package.models:build', anything: [1, 2]}}}",
        "{architecture: mlp, optimizer: {sgd: {momentum: {float: [0, 0.9]}, nesterov: [true, false]}}}",
    ],
)
def test_good_spaces_pass(space):
    check(space)


def test_a_grid_over_reals_is_refused():
    spec = parse_spec("task: digits\nspace: {architecture: {mlp: {dropout: {float: [0, 0.5]}}}}", origin="x")
    check_spec(spec)
    with pytest.raises(SpecError, match="a grid needs values"):
        check_spec(spec.model_copy(update={"search": spec.search.model_copy(update={"sampler": "grid"})}))
