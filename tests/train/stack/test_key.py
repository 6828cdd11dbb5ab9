"""Which candidates share a program."""

from dataclasses import replace

import pytest

from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.train.stack import stack_key

TABLE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(5))


def test_what_a_program_needs_in_common(toy):
    key = stack_key(toy.candidate(), TABLE)
    assert key is not None
    alike = [
        toy.candidate(("rmsprop", {"lr": 0.5}), activation="tanh", dropout=0.2),
        toy.candidate(schedules={"schedule": Named("wsd")}, training={"l1": 0.1, "clip_norm": 1.0, "epochs": 3}),
        toy.candidate(training={"label_smoothing": 0.2, "loss": "cross_entropy", "precision": "fp32"}),
    ]
    assert {stack_key(each, TABLE) for each in alike} == {key}
    others = [
        toy.candidate(depth=1),
        toy.candidate(width=17),
        toy.candidate(norm="layer"),
        toy.candidate(residual=True),
        toy.candidate(batch_size=16),
        toy.candidate(training={"class_weights": "balanced"}),
        toy.candidate(training={"preprocessing": {"rare": 3}}),
    ]
    averaged = [toy.candidate(training=each, norm="none") for each in ({"ema": 0.9}, {"ema": 0.5}, {"swa": 0.5})]
    assert len({stack_key(each, TABLE) for each in [*averaged, toy.candidate(norm="none")]}) == 2
    assert len({stack_key(each, TABLE) for each in others} | {key}) == len(others) + 1


@pytest.mark.parametrize(
    "training",
    [{"augment": {"mixup": 0.2}}, {"precision": "bf16"}],
    ids=str,
)
def test_what_is_trained_alone(toy, training):
    assert stack_key(toy.candidate(training=training), TABLE) is None
    assert stack_key(toy.candidate(batch_size="auto"), TABLE) is None
    assert stack_key(replace(toy.candidate(), architecture=Named("cnn")), TABLE) is None
    assert stack_key(toy.candidate(norm="batch", batch_size=1), TABLE) is None
    assert stack_key(toy.candidate(norm="batch", training={"ema": 0.9}), TABLE) is None
    assert stack_key(toy.candidate(numeric="periodic"), TABLE) is None


def test_large_products_gain_nothing(toy):
    images = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=10, inputs=image_inputs(1, 28, 28))
    assert stack_key(toy.candidate(width=64, batch_size=64), images) is not None
    assert stack_key(toy.candidate(width=256, batch_size=64), images) is None
