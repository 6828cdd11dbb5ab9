import itertools

import optuna
import pytest

from harness.records import Outcome, TrialRecord
from harness.spec import candidate_at, parse_spec, size
from harness.study.decide.grid import point
from harness.study.decide.idle import needed_where
from harness.study.decide.mirror import Mirror
from harness.study.decide.samplers import build_sampler, samplers
from harness.study.decide.suggest import locate, suggest
from harness.study.objectives import Objective

KEYS = {
    "depth": "{int: [0, 2]}",
    "width": "{int: [8, 10]}",
    "shape": "[constant, pyramid]",
    "norm": "[batch, none]",
    "residual": "[true, false]",
}
PLAIN = {"pooling"}
OF_DEPTH = {0: set(), 1: {"width", "norm"}, 2: {"width", "norm", "shape", "residual"}}


def spec_of(keys, *overrides, extra=""):
    own = ", ".join(f"{name}: {KEYS[name]}" for name in keys)
    text = f"task: digits\nspace: {{architecture: {{mlp: {{{own}}}}}, batch_size: [32, 64]{extra}}}"
    return parse_spec(text, origin="x", overrides=overrides)


def own_names(params, prefix="architecture.mlp."):
    return {path.removeprefix(prefix) for path in params if path.startswith(prefix)}


@pytest.mark.parametrize("name", sorted(samplers))
@pytest.mark.parametrize("keys", [list(KEYS), [*list(KEYS)[1:], "depth"]])
def test_what_does_nothing_is_not_drawn_whatever_the_order_of_the_file(keys, name):
    spec = spec_of(keys, f"search.sampler={name}")
    mirror, depths = Mirror(spec, [Objective("accuracy", maximize=True)]), set()
    for number in range(14 if name == "gp" else 24):
        proposal = mirror.ask()
        depth = proposal.params["architecture.mlp.depth"]
        depths.add(depth)
        assert own_names(proposal.params) == {"depth", *OF_DEPTH[depth]}
        assert set(proposal.distributions) == set(proposal.params)
        assert locate(spec.group, proposal.params) == proposal.distributions
        given = dict(candidate_at(spec, proposal.params).architecture.params)
        assert set(given) == {"depth", *OF_DEPTH[depth]}
        fields = {"outcome": Outcome.COMPLETE, "reason": "r", "candidate": {}, "params": {}}
        mirror.tell(TrialRecord(trial=number, values=(1.0 / (1 + depth),), **fields), [])
    assert len(depths) > 1


def test_a_trial_of_an_earlier_version_may_have_values_that_do_nothing():
    spec = spec_of(KEYS)
    params = {"architecture.mlp.depth": 0, "architecture.mlp.width": 9, "batch_size": 32}
    assert set(locate(spec.group, params)) == set(params)
    assert candidate_at(spec, params).architecture.params == {"depth": 0, "width": 9}
    with pytest.raises(ValueError, match=r"mlp\.width cannot be 7"):
        locate(spec.group, {**params, "architecture.mlp.width": 7})
    with pytest.raises(ValueError, match=r"mlp\.width is missing"):
        locate(spec.group, {"architecture.mlp.depth": 1, "batch_size": 32})


def test_a_grid_meets_each_candidate_that_differs():
    spec = spec_of(KEYS, "search.sampler=grid")
    study, found = optuna.create_study(), set()
    for number in range(int(size(spec.group))):
        study.sampler = build_sampler(spec, number)
        found.add(tuple(sorted(suggest(study.ask(), spec.group).items())))
    everything = itertools.product([0, 1, 2], [8, 9, 10], ["constant", "pyramid"], ["batch", "none"], [True, False])
    differing = {(depth, *(w, n) * (depth > 0), *(s, r) * (depth > 1)) for depth, w, s, n, r in everything}
    assert len(found) == 2 * len(differing)
    assert point(spec.group, 0).keys() > dict(min(found)).keys()


@pytest.mark.parametrize(
    ("space", "idle"),
    [
        ("architecture: {mlp: {depth: [0, 3], width: [8, 16], norm: [batch, none]}}", {"width", "norm"}),
        ("architecture: {mlp: {depth: {int: [1, 3]}, width: [8, 16], shape: [constant, pyramid]}}", {"shape"}),
        ("architecture: {mlp: {depth: 2, width: [8, 16], shape: [constant, pyramid]}}", set()),
        ("architecture: {mlp: {width: [8, 16], shape: [constant, pyramid]}}", set()),
        (
            "architecture: {cnn: {stages: [1, 2], pooling: [max, average], blocks: 2, residual: [false, true]}}",
            {"pooling"},
        ),
        ("architecture: {cnn: {stages: {int: [1, 2]}, residual: [true, false]}}", {"residual"}),
        ("architecture: mlp, optimizer: {sgd: {momentum: {float: [0.0, 0.9]}, nesterov: [true, false]}}", {"nesterov"}),
        ("architecture: mlp, optimizer: {sgd: {momentum: {float: [0.5, 0.9]}, nesterov: [true, false]}}", set()),
        ("architecture: {mlp: {family: 'a.b:c', depth: [0, 1], width: [1, 2]}}", set()),
    ],
)
def test_what_may_do_nothing_depends_on_what_decides(space, idle):
    spec = parse_spec(f"task: digits\nspace: {{{space}}}", origin="x")
    assert {path.split(".")[-1] for path in needed_where(spec.group)} == idle


@pytest.mark.parametrize("order", ["preprocessing, architecture", "architecture, preprocessing"])
def test_what_a_family_preprocesses_in_its_own_way_is_not_drawn_beside_it(order):
    parts = {
        "architecture": "architecture: {mlp: {}, realmlp: {}, linear: {}, mine: {family: 'a.b:c'}}",
        "preprocessing": "preprocessing: {numeric: [standard, quantile], rare: [1, 5], one_hot: {int: [0, 9]}}",
    }
    text = f"task: wine\nspace: {{{', '.join(parts[name] for name in order.split(', '))}, batch_size: [32, 64]}}"
    spec, study, seen = parse_spec(text, origin="x"), optuna.create_study(), set()
    does_something = {"mlp": {"numeric", "rare", "one_hot"}, "realmlp": {"rare"}, "linear": set()}
    does_something["mine"] = does_something["mlp"]
    for number in range(24):
        study.sampler = build_sampler(spec, number)
        params = suggest(study.ask(), spec.group)
        name = params["architecture"]
        seen.add(name)
        assert own_names(params, "preprocessing.") == does_something[name]
        assert set(locate(spec.group, params)) == set(params)
        asked = candidate_at(spec, params).training.preprocessing
        assert asked.rare == params.get("preprocessing.rare", 1)
    assert seen == set(does_something)
    assert needed_where(spec.group) == {
        "batch_size": "architecture is mlp or realmlp or mine",
        "preprocessing.numeric": "architecture is mlp or mine",
        "preprocessing.rare": "architecture is mlp or realmlp or mine",
        "preprocessing.one_hot": "architecture is mlp or mine",
    }


def test_where_a_parameter_is_needed_can_be_read():
    assert needed_where(spec_of(KEYS).group) == {
        "architecture.mlp.width": "depth > 0",
        "architecture.mlp.norm": "depth > 0",
        "architecture.mlp.shape": "depth > 1",
        "architecture.mlp.residual": "depth > 1",
    }
