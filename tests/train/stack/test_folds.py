"""Folds in one stack: each has samples of its own, and some have fewer than others."""

import pytest
import torch

from harness.records import Named, TaskKind

SIZES = (88, 87, 86)
"""The last batches of 32 have 24, 23 and 22 samples, those of 9 have 7, 6 and 5; one of 128 has them all."""
STRUCTURES = [
    {"norm": "none", "width": 16},
    {"norm": "batch", "width": 13, "depth": 3},
    {"norm": "layer", "width": 7, "residual": True, "batch_size": 128},
    {"norm": "group", "width": 33, "batch_size": 9},
    {"norm": "batch", "depth": 2, "width": 12, "batch_size": 128, "residual": True},
    {"depth": 0, "batch_size": 9},
]


def trainings(toy, structure, **training):
    """Return two candidates, the second of which has more of everything."""
    cosine = {"schedule": Named("cosine")}
    more = {"dropout": 0.3, "activation": "silu"} if structure.get("depth") != 0 else {}
    smoothed = {"label_smoothing": 0.1} if training.pop("smoothed", False) else {}
    return [
        toy.candidate(("adamw", {"lr": 0.01}), training=training, **structure),
        toy.candidate(
            ("sgd", {"lr": 0.05, "momentum": 0.8}),
            training={"clip_norm": 0.5, **training, **smoothed},
            schedules=cosine,
            **structure,
            **more,
        ),
    ]


def members(folds, candidates):
    """Return a member of each candidate and fold, of lengths of their own."""
    found, seed = [], 0
    for each in candidates:
        for fold in folds:
            found.append(fold.member(each, seed, epochs=2 + seed % 2, trial=seed))
            seed += 1
    return found


def compare(toy, folds, candidates, *, within):
    """Check every epoch of every candidate in every fold against what it is alone."""
    made = members(folds, candidates)
    records = toy.train_all(toy.stack_of_folds(made, folds))
    for seed, member in enumerate(made):
        fold, each = folds[seed % len(folds)], candidates[seed // len(folds)]
        for got, wanted in zip(records[member], fold.alone(each, seed, epochs=2 + seed % 2), strict=True):
            for part in ("train", "validation"):
                assert getattr(got, part) == pytest.approx(getattr(wanted, part), abs=within, nan_ok=True), (seed, part)
            assert got.gradient_norm == pytest.approx(wanted.gradient_norm, rel=within)
            assert (got.epoch, got.learning_rate, got.note) == (wanted.epoch, wanted.learning_rate, wanted.note)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_folds_are_trained_as_they_are_alone(toy, classes, structure):
    compare(toy, classes.in_float64().folds(*SIZES), trainings(toy, structure, smoothed=True), within=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_values_have_the_units_of_their_folds(toy, loss, outputs):
    folds = toy.bench(TaskKind.REGRESSION, outputs=outputs).in_float64().folds(*SIZES)
    assert len({fold.shape.scale for fold in folds}) == 3
    compare(toy, folds, trainings(toy, {"norm": "batch"}, loss=loss), within=1e-9)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
def test_classes_have_the_weights_of_their_folds(toy, loss):
    folds = toy.bench(TaskKind.CLASSIFICATION, outputs=2).folds(*SIZES)
    candidates = trainings(toy, {"norm": "layer"}, loss=loss, class_weights="balanced", smoothed=True)
    compare(toy, folds, candidates, within=1e-5)


@pytest.mark.usefixtures("float64")
def test_tables_with_categories(toy):
    folds = toy.bench(TaskKind.CLASSIFICATION, outputs=3, categories=True).in_float64().folds(*SIZES)
    compare(toy, folds, trainings(toy, {"numeric": "piecewise_linear"}), within=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_every_bit_is_the_same_in_any_company(toy, request, structure, kind):
    folds = request.getfixturevalue(kind).folds(*SIZES)
    candidates = trainings(toy, structure)
    whole = members(folds, candidates)
    expected = toy.train_all(toy.stack_of_folds(whole, folds))
    for chosen in ([0], [1], [2, 3], [5, 1, 4]):
        made = members(folds, candidates)
        records = toy.train_all(toy.stack_of_folds([made[place] for place in chosen], folds))
        for place in chosen:
            assert len(records[made[place]]) == 2 + place % 2
            assert all(map(toy.same, records[made[place]], expected[whole[place]]))
            weights, wanted = made[place].best_state, whole[place].best_state
            assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_more_validation_samples_than_go_through_at_once(toy, classes, monkeypatch):
    """The last batch has none of the smallest fold."""
    folds = classes.folds(*SIZES)
    assert [len(fold.validation) for fold in folds] == [6, 5, 4]
    candidates = trainings(toy, STRUCTURES[1])
    made = members(folds, candidates)
    whole = toy.train_all(toy.stack_of_folds(made, folds))
    monkeypatch.setattr("harness.train.stack.stack.VALIDATION_BATCH", 4)
    again = members(folds, candidates)
    records = toy.train_all(toy.stack_of_folds(again, folds))
    for member, other in zip(made, again, strict=True):
        for got, wanted in zip(records[other], whole[member], strict=True):
            assert got.validation == pytest.approx(wanted.validation, abs=1e-6)
