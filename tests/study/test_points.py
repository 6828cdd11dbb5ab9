"""Candidates that stand for a space: in the middle, and by chance."""

import random

from harness.spec import parse_spec
from harness.study.decide.points import drawn_candidate, middle_candidate

SPACE = """
task: digits
space:
  architecture:
    mlp: {depth: {int: [1, 4]}, width: {int: [8, 512], log: true}, activation: [relu, gelu, tanh]}
    cnn: {stages: {int: [1, 3]}, width: {int: [16, 64], step: 16}}
  optimizer: {adamw: {lr: {float: [1.0e-4, 1.0e-1], log: true}}, sgd: {lr: {float: [1.0e-3, 1.0]}}}
  batch_size: [64, 128, 256]
"""


def test_the_middle_is_the_middle():
    spec = parse_spec(SPACE, origin="x")
    mlp, cnn = (middle_candidate(spec, name) for name in ("mlp", "cnn"))
    assert mlp.architecture.params == {"depth": 2, "width": 64, "activation": "gelu"}
    assert cnn.architecture.params["width"] == 48
    assert (mlp.optimizer.name, mlp.training.batch_size) == ("adamw", 128)
    assert abs(mlp.optimizer.params["lr"] / 10**-2.5 - 1) < 1e-12


def test_draws_lie_in_the_space_reach_all_of_it_and_follow_their_seed():
    spec = parse_spec(SPACE, origin="x")
    drawn = [drawn_candidate(spec, "mlp", random.Random(seed)) for seed in range(300)]
    assert drawn == [drawn_candidate(spec, "mlp", random.Random(seed)) for seed in range(300)]
    assert {each.architecture.name for each in drawn} == {"mlp"}
    widths = [each.architecture.params["width"] for each in drawn]
    assert all(type(width) is int and 8 <= width <= 512 for width in widths)
    assert 100 < sum(width < 64 for width in widths) < 200, "on a log scale half of them lie below the middle"
    assert {each.architecture.params["depth"] for each in drawn} == {1, 2, 3, 4}
    assert {each.architecture.params["activation"] for each in drawn} == {"relu", "gelu", "tanh"}
    assert {each.optimizer.name for each in drawn} == {"adamw", "sgd"}
    assert {each.training.batch_size for each in drawn} == {64, 128, 256}
    cnns = [drawn_candidate(spec, "cnn", random.Random(seed)) for seed in range(100)]
    assert {each.architecture.params["width"] for each in cnns} == {16, 32, 48, 64}
