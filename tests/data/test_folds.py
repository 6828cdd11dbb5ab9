"""Folds: each sample is validation once, classes are even, groups stay together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit

from harness.data import load
from harness.data.seeding import derive_seed
from harness.data.sources.source import Source
from harness.data.splits import Indices, split_folds, split_samples
from harness.errors import DataError
from harness.spec.task import BuiltinTask, ForecastTask, Split


def source(targets, classes, groups=None):
    return Source(
        name="some",
        inputs=np.zeros((len(targets), 1, 1, 1), np.uint8),
        targets=np.asarray(targets),
        class_names=tuple(f"c{code}" for code in range(classes)),
        fingerprint="",
        groups=groups,
    )


def dealt(data, count, split=None):
    split = split or Split()
    indices = split_samples(data, split, None, split.seed)
    return indices, split_folds(data, split, indices, count)


def check_partition(indices, folds):
    everything = np.sort(np.concatenate([indices.train, indices.validation]))
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in folds])), everything)
    for fold in folds:
        assert np.array_equal(fold.refit().train, everything)
        assert not np.intersect1d(fold.train, fold.validation).size
        assert np.array_equal(fold.test, indices.test)


@given(
    counts=st.lists(st.integers(30, 60), min_size=2, max_size=4),
    count=st.integers(2, 7),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=20)
def test_each_sample_is_in_one_fold_and_classes_are_even(counts, count, seed):
    data, split = source(np.repeat(np.arange(len(counts)), counts), len(counts)), Split(seed=seed)
    indices, folds = dealt(data, count, split)
    check_partition(indices, folds)
    per_class = np.array([np.bincount(data.targets[fold.validation], minlength=len(counts)) for fold in folds])
    assert (per_class.max(axis=0) - per_class.min(axis=0) <= 1).all()
    again = split_folds(data, split, indices, count)
    assert all(np.array_equal(one.validation, two.validation) for one, two in zip(folds, again, strict=True))


@given(sizes=st.lists(st.integers(2, 9), min_size=15, max_size=25), classes=st.booleans(), seed=st.integers(0, 2**16))
@settings(max_examples=20)
def test_groups_stay_together(sizes, classes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    targets = np.arange(len(groups)) % 2 if classes else np.linspace(0, 1, len(groups))
    data = source(targets, 2 if classes else 0, groups=groups)
    indices = Indices(np.arange(len(groups)), np.arange(0), np.arange(0))
    folds = split_folds(data, Split(group="who", seed=seed), indices, 3)
    check_partition(indices, folds)
    for fold in folds:
        assert not np.intersect1d(groups[fold.train], groups[fold.validation]).size


@pytest.mark.parametrize(("task", "splitter"), [("wine", StratifiedKFold), ("diabetes", KFold)])
def test_the_folds_are_those_of_scikit_learn(task, splitter):
    split = Split(seed=4)
    holdout = load(BuiltinTask(builtin=task, split=split), seed=split.seed)
    rows = np.sort(np.concatenate([holdout.split_index["train"], holdout.split_index["validation"]]))
    whole = holdout.for_refit()
    targets = whole.true_targets("train")
    state = derive_seed(split.seed, "folds") % 2**32
    reference = splitter(4, shuffle=True, random_state=state).split(rows, targets)
    for fold, (train, validation) in zip(holdout.folds(split, 4), reference, strict=True):
        assert np.array_equal(fold.train.index, rows[train])
        assert np.array_equal(fold.validation.index, rows[validation])
        assert fold.test_size == holdout.test_size


def test_what_prepares_the_data_is_fitted_on_the_training_samples_of_each_fold():
    split = Split()
    folds = load(BuiltinTask(builtin="diabetes", split=split), seed=0).folds(split, 3)
    means = [fold.preprocessing["target"]["mean"] for fold in folds]
    assert means == pytest.approx([fold.true_targets("train").mean() for fold in folds])
    assert len(set(means)) == 3


def test_what_cannot_be_dealt_is_said_with_the_fix():
    rare = source([0] * 40 + [1] * 5, 2)
    with pytest.raises(DataError, match=r"some: class 'c1' has 4 samples, .* lower `evaluation\.folds` \(5\)"):
        dealt(rare, 5)
    few = source(np.linspace(0, 1, 60), 0, groups=np.repeat(np.arange(6), 10))
    with pytest.raises(DataError, match=r"some: 5 groups of samples cannot be dealt into 6 folds; lower"):
        dealt(few, 6, Split(group="who"))
    sorted_by_class = source([0] * 30 + [1] * 30, 2, groups=np.repeat(np.arange(6), 10))
    everything = Indices(np.arange(60), np.arange(0), np.arange(0))
    lopsided = replace(sorted_by_class, targets=np.array([0] * 50 + [1] * 10))
    with pytest.raises(DataError, match=r"some: fold \d has none of class 'c1', since groups stay together; lower"):
        split_folds(lopsided, Split(group="who"), everything, 3)


def forecasts(folder, lengths, **asked):
    """Return the data of series of some lengths whose values are their steps."""
    each = [pd.DataFrame({"t": range(n), "y": np.arange(n) + 0.5, "name": f"s{k}"}) for k, n in enumerate(lengths)]
    pd.concat(each).to_csv(folder / "series.csv", index=False)
    columns = {"time": "t", "target": "y", "group": "name", "season": 1}
    return load(ForecastTask(forecast=folder / "series.csv", **columns, **asked), seed=0)


@pytest.mark.parametrize(("horizon", "origins", "count"), [(3, 2, 4), (5, 1, 3)])
def test_folds_in_time_are_those_of_scikit_learn(tmp_path, horizon, origins, count):
    """A fold trains on the windows within the steps that it trains on there, and predicts those it tests on there."""
    window, lengths = 6, (80, 120)
    dataset = forecasts(tmp_path, lengths, horizon=horizon, origins=origins, window=window)
    folds = dataset.folds(Split(), count)
    by_series = [
        list(TimeSeriesSplit(count, test_size=horizon).split(np.arange(steps - origins * horizon))) for steps in lengths
    ]
    for fold, dealt in zip(folds, zip(*by_series, strict=True), strict=True):
        trained = [
            steps[first : first + horizon] for steps, _ in dealt for first in range(window, len(steps) - horizon + 1)
        ]
        np.testing.assert_array_equal(fold.train.truth[:, :horizon], np.array(trained) + 0.5)
        np.testing.assert_array_equal(fold.validation.truth[:, :horizon], np.array([steps for _, steps in dealt]) + 0.5)
        assert fold.test_size == dataset.test_size
        assert np.array_equal(fold.for_refit().train.index, dataset.for_refit().train.index)
    assert "roll forward" in folds[0].notes[-1]


def test_a_limit_thins_what_folds_in_time_train_on(tmp_path):
    asked = {"horizon": 4, "window": 6}
    whole, few = (forecasts(tmp_path, (200,), **asked, **limit) for limit in ({}, {"limit": 60}))
    for fold, thinned in zip(whole.folds(Split(), 3), few.folds(Split(), 3), strict=True):
        assert np.array_equal(thinned.validation.index, fold.validation.index)
        assert set(thinned.train.index) < set(fold.train.index)
        assert len(thinned.train) >= 10


def test_a_series_that_is_too_short_for_so_many_folds_is_said(tmp_path):
    with pytest.raises(DataError, match=r"fold 1 of 9 has \d samples to train on before its horizon, .* lower `eval"):
        forecasts(tmp_path, (60,), horizon=5, window=4).folds(Split(), 9)
