"""Every bit of a member is the same whatever others there are, and whenever they leave."""

import pytest
import torch

from harness.records import Named

STRUCTURES = [
    {"norm": "none", "width": 16},
    {"norm": "batch", "width": 13, "depth": 3},
    {"norm": "layer", "width": 7, "residual": True},
    {"norm": "group", "width": 33, "batch_size": 9},
    {"depth": 1, "width": 5, "batch_size": 1},
    {"depth": 0, "batch_size": 7},
    {"norm": "layer", "width": 7, "training": {"ema": 0.9}},
    {"norm": "none", "width": 13, "training": {"swa": 0.4}},
]
NAMES = ["relu", "gelu", "silu", "tanh"]


def members(toy, bench, structure, count):
    """Return trainings that differ in activation, chance and length."""
    made = []
    for seed in range(count):
        each = toy.candidate(
            ("adamw", {"lr": 0.001 * (1 + seed)}),
            activation=NAMES[seed % len(NAMES)],
            dropout=0.2 * (seed % 3),
            schedules={"schedule": Named("cosine")},
            **structure,
        )
        made.append(bench.member(each, seed, epochs=1 + seed % 3, trial=seed))
    return made


def check(toy, bench, structure, count, groups):
    """Check the members of smaller stacks against those of one of so many."""
    all_of_them = members(toy, bench, structure, count)
    expected = bench.train_all(all_of_them)
    for chosen in groups:
        made = members(toy, bench, structure, count)
        some = [made[place] for place in chosen]
        for place, member, records in zip(chosen, some, bench.train_all(some), strict=True):
            assert len(records) == 1 + place % 3
            assert all(map(toy.same, records, expected[place]))
            weights, wanted = member.best_state, all_of_them[place].best_state
            assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_alone_or_among_two_or_four(toy, classes, structure):
    check(toy, classes, structure, 4, ([2], [1, 2]))


def test_a_single_output(toy, values):
    check(toy, values, {"width": 16}, 4, ([2], [1, 2]))


@pytest.mark.slow
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_alone_or_among_seven_or_sixty_four(toy, request, structure, kind):
    check(toy, request.getfixturevalue(kind), structure, 64, ([2], [5, 62, 2, 8, 11, 3, 40]))


def test_one_that_diverges_touches_no_other(toy, classes):
    first, wild, last = (classes.member(toy.candidate(norm="none"), seed) for seed in range(3))
    torch.nn.init.constant_(wild.mlp.output.weight, float("inf"))
    first, nothing, last = classes.train_all([first, wild, last])
    assert (nothing, wild.epoch) == ([], 0)
    assert str(wild.end).startswith("loss became NaN at step 1 (epoch 1)")
    alone_first, alone_last = classes.train_all([classes.member(toy.candidate(norm="none"), seed) for seed in (0, 2)])
    assert [len(first), len(last)] == [3, 3]
    assert all(map(toy.same, [*first, *last], [*alone_first, *alone_last]))


@pytest.mark.parametrize(
    "structure", [{"norm": "batch"}, {"norm": "layer", "training": {"ema": 0.9}}], ids=["plain", "averaged"]
)
def test_a_checkpoint_goes_on_in_a_stack_or_alone(toy, classes, structure):
    of = toy.candidate(dropout=0.2, schedules={"schedule": Named("cosine")}, **structure)
    (whole,) = classes.train_all([classes.member(of, 3)])
    other, member = classes.member(toy.candidate(**structure), 1), classes.member(of, 3)
    stack = classes.stack([other, member])
    stack.epoch()
    checkpoint = member.checkpoint({"caller": "this"})
    again = classes.member(of, 3)
    assert again.restore(checkpoint) == {"caller": "this"}
    (rest,) = classes.train_all([again])
    assert all(map(toy.same, rest, whole[1:]))
    alone = classes.alone(of, 3)
    alone.restore(checkpoint)
    for got, wanted in zip(alone, whole[1:], strict=True):
        assert got.validation == pytest.approx(wanted.validation, abs=1e-5)
    in_part = classes.member(of, 3)
    first = classes.alone(of, 3)
    next(iter(first))
    in_part.restore(first.checkpoint({}))
    for got, wanted in zip(classes.train_all([in_part])[0], whole[1:], strict=True):
        assert got.validation == pytest.approx(wanted.validation, abs=1e-5)


@pytest.mark.parametrize(
    "structure", [{"norm": "batch"}, {"norm": "layer", "training": {"ema": 0.9}}], ids=["plain", "averaged"]
)
def test_a_member_that_leaves_has_a_model_of_its_own(toy, classes, structure):
    short, long = (classes.member(toy.candidate(**structure), seed, epochs=1 + seed) for seed in (0, 1))
    stack = classes.stack([short, long])
    stack.epoch()
    stack.keep([long])
    kept = {name: tensor.clone() for name, tensor in short.model.state_dict().items()}
    stack.epoch()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in short.model.state_dict().items())
    assert all(parameter.is_contiguous() for parameter in short.model.parameters())
