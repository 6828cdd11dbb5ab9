import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.spec import candidate_at, load_spec, parameters, parse_spec, shipped_spaces
from harness.study import check_spec
from harness.study.check import notes_on
from harness.train import build_schedule


def check(space):
    check_spec(parse_spec(f"task: digits\nspace: {space}", origin="x"))


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_shipped_spaces_pass(name):
    check_spec(load_spec(name))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{architecture: {mpl: {}}}", "space.architecture.mpl: unknown architecture 'mpl'; did you mean 'mlp'?"),
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
        ("{architecture: mlp, dropout_schedule: {wsd: {decay: [0.2, 2.0]}}}", "space.dropout_schedule.wsd.decay"),
        ("{architecture: mlp, optimizer: {muon: {lr: {float: [0.0, 0.1]}}}}", "space.optimizer.muon.lr"),
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


COURSE = "task: digits\nbudget: {{epochs: {budget}}}\nspace: {{architecture: mlp, {space}}}\ntraining: {training}"


def course(space, *, budget=20, training="{}"):
    return parse_spec(COURSE.format(space=space, budget=budget, training=training), origin="x")


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (
            "schedule: {cosine: {warmup_epochs: 10}}",
            {"budget": 3},
            "cosine.warmup_epochs: 10 may be all of the 3 epochs",
        ),
        ("schedule: {constant: {warmup_epochs: [1, 2.5]}}", {"budget": 2}, "2.5 may be all of the 2 epochs"),
        ("schedule: {cosine: {warmup_epochs: {int: [0, 5]}}}, epochs: [5, 20]", {}, "5 may be all of the 5 epochs"),
        (
            "schedule: {cosine: {warmup_epochs: 4}, constant: {}}",
            {"training": "{epochs: 4}"},
            "or raise training.epochs",
        ),
    ],
)
def test_epochs_and_a_warm_up_that_do_not_go_together_are_refused(space, options, message):
    with pytest.raises(SpecError) as caught:
        check_spec(course(space, **options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=60)
@given(
    budget=st.integers(1, 12),
    own=st.none() | st.tuples(st.integers(1, 12), st.integers(0, 6)),
    warm_up=st.tuples(st.integers(0, 12), st.integers(0, 4)),
    seed=st.integers(0, 99),
)
def test_in_a_space_that_passes_every_rate_gets_to_its_full_and_ends_below(budget, own, warm_up, seed):
    epochs = "" if own is None else f", epochs: {{int: [{own[0]}, {sum(own)}]}}"
    cosine = f"{{warmup_epochs: {{int: [{warm_up[0]}, {sum(warm_up)}]}}}}"
    spec = course(f"schedule: {{cosine: {cosine}}}{epochs}", budget=budget)
    fewest = budget if own is None else min(own[0], budget)
    if sum(warm_up) >= fewest:
        with pytest.raises(SpecError):
            check_spec(spec)
        return
    check_spec(spec)
    rng = random.Random(seed)
    point = {p.path: rng.randint(int(p.node.low), int(p.node.high)) for p in parameters(spec.group)}
    candidate = candidate_at(spec, point)
    trained = min(candidate.training.epochs or budget, budget)
    factor = build_schedule(candidate.schedule, steps_per_epoch=4, epochs=trained)
    factors = [factor(step) for step in range(4 * trained)]
    assert max(factors) == 1.0
    assert factors[-1] < 0.9


@pytest.mark.parametrize(
    ("space", "training", "named"),
    [
        ("schedule: cosine", "{patience: 3}", "with cosine run"),
        ("schedule: [constant, cosine, one_cycle], patience: [0, 5]", "{}", "with cosine or one_cycle run"),
        ("schedule: constant", "{patience: 3}", ""),
        ("batch_size: 32", "{patience: 3}", ""),
        ("schedule: cosine", "{}", ""),
        ("schedule: cosine, patience: 0", "{}", ""),
    ],
)
def test_a_patience_that_has_no_effect_is_noted_once(space, training, named):
    notes = notes_on(course(space, training=training))
    assert len(notes) == bool(named)
    assert all(note.startswith("patience is for a constant rate: trials ") and named in note for note in notes)


def test_more_epochs_than_the_budget_has_are_told():
    (note,) = notes_on(course("epochs: {int: [8, 60], log: true}"))
    assert note == "space.epochs: 60 is more than budget.epochs, 20, and counts as that"
    (note,) = notes_on(course("schedule: cosine", training="{epochs: 21}"))
    assert note.startswith("training.epochs: 21 is more")


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_nothing_in_a_shipped_space_is_without_effect(name):
    assert notes_on(load_spec(name)) == ()
