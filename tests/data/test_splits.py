from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.sources.source import Source
from harness.data.splits import split_samples
from harness.errors import DataError
from harness.spec.task import Split


def source(counts, official_test=0):
    targets = np.repeat(np.arange(len(counts)), counts)
    names = tuple(f"c{code}" for code in range(len(counts)))
    inputs = np.zeros((len(targets), 1, 1, 1), np.uint8)
    return Source(
        name="some",
        inputs=inputs,
        targets=targets,
        class_names=names,
        fingerprint="",
        official_test=official_test,
    )


@given(
    counts=st.lists(st.integers(30, 90), min_size=2, max_size=5),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=25)
def test_parts_are_disjoint_complete_stratified_and_repeatable(counts, validation, test, seed):
    data, split = source(counts), Split(validation=validation, test=test)
    parts = split_samples(data, split, None, seed)
    everything = np.concatenate([parts.train, parts.validation, parts.test])
    assert np.array_equal(np.sort(everything), np.arange(sum(counts)))
    for rows, share in ((parts.validation, validation), (parts.test, test)):
        assert len(rows) == pytest.approx(share * sum(counts), abs=1.5)
        assert np.allclose(np.bincount(data.targets[rows], minlength=len(counts)), share * np.array(counts), atol=2)
    again = split_samples(data, split, None, seed)
    assert all(np.array_equal(getattr(parts, name), getattr(again, name)) for name in ("train", "validation", "test"))


def test_samples_are_drawn_evenly():
    """Over many seeds each sample is tested about as often as its share says (binomial, 5 standard deviations)."""
    data, draws = source([40, 60]), 400
    tested = sum(
        np.bincount(split_samples(data, Split(test=0.25), None, seed).test, minlength=100) for seed in range(draws)
    )
    assert np.abs(tested / draws - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / draws)


def test_limit_just_below_all_and_above_all():
    data = source([40, 40, 40])
    sizes = {}
    for limit in (101, 102, 103, None):
        parts = split_samples(data, Split(), limit, 0)
        sizes[limit] = len(parts.train) + len(parts.validation)
        assert len(parts.test) == 18
    assert sizes == {101: 101, 102: 102, 103: 102, None: 102}


def with_parts(counts, parts):
    return replace(source(counts), parts=np.array(parts, np.int8))


@given(
    sizes=st.tuples(st.integers(20, 60), st.sampled_from([0, 10, 25]), st.sampled_from([0, 10, 25])),
    limit=st.sampled_from([None, 15, 40, 60]),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=60)
def test_parts_that_are_given_are_kept_and_others_drawn_from_train(sizes, limit, seed):
    one = np.repeat([0, 1, 2], sizes)
    data = with_parts([len(one)] * 2, np.tile(one, 2))
    drawn = split_samples(data, Split(validation=0.25, test=0.25), limit, seed)
    for number, rows in ((1, drawn.validation), (2, drawn.test)):
        assert set(data.parts[rows]) == ({number} if sizes[number] else {0})
    assert set(data.parts[drawn.train]) == {0}
    if sizes[2]:
        assert np.array_equal(drawn.test, np.flatnonzero(data.parts == 2))
    learned = len(drawn.train) + len(drawn.validation)
    tested_of_train = 0 if sizes[2] else len(drawn.test)
    assert learned == min(limit or 10_000, 2 * (sizes[0] + sizes[1]) - tested_of_train)
    everything = np.concatenate([drawn.train, drawn.validation, drawn.test])
    assert len(np.unique(everything)) == len(everything)
    unlimited = split_samples(data, Split(validation=0.25, test=0.25), None, seed)
    assert np.array_equal(unlimited.test, drawn.test)


@pytest.mark.parametrize(
    ("first", "second", "limit", "message"),
    [
        ((16, 0, 4), (0, 0, 6), None, r"class 'c1' has 0 samples, fewer than one for each of training and validation"),
        ((14, 4, 2), (0, 1, 2), None, r"class 'c1' \(3 samples\) has none among the 14 train samples; add samples"),
        ((24, 12, 4), (3, 1, 1), 10, r"has none among the . validation samples; raise `limit` \(10\), add samples"),
        ((30, 9, 9), (30, 9, 0), None, r"class 'c1' \(39 samples\) has none among the 9 test samples; add samples"),
    ],
)
def test_a_class_that_a_given_part_lacks_is_named(first, second, limit, message):
    parts = [number for sizes in (first, second) for number, size in enumerate(sizes) for _ in range(size)]
    with pytest.raises(DataError, match=message):
        split_samples(with_parts([sum(first), sum(second)], parts), Split(), limit, 0)


def test_official_test_samples_are_never_trained_on():
    data = source([50, 50], official_test=20)
    data.targets[80:] = np.arange(20) % 2
    parts = split_samples(data, Split(validation=0.25), None, 0)
    assert np.array_equal(parts.test, np.arange(80, 100))
    assert len(parts.validation) == 20
    assert max(parts.train.max(), parts.validation.max()) < 80


@pytest.mark.parametrize(
    ("counts", "limit", "message"),
    [
        ([50, 2], None, "class 'c1' has 2 samples, fewer than one for each"),
        ([50, 0], None, "class 'c1' has 0 samples"),
        ([200, 20], 10, r"validation samples; raise `limit` \(10\), raise `split.validation`, add"),
        ([5, 4], None, "9 samples are too few to split; it takes 10"),
    ],
)
def test_a_class_that_a_part_would_lack_is_named(counts, limit, message):
    with pytest.raises(DataError, match=message):
        split_samples(source(counts), Split(), limit, 0)


def test_of_a_rare_class_one_sample_is_in_each_part():
    parts = split_samples(source([200, 3]), Split(), None, 0)
    for rows in (parts.train, parts.validation, parts.test):
        assert (rows >= 200).sum() == 1
    assert (len(parts.test), len(parts.validation)) == (31, 31)


@pytest.mark.parametrize(("counts", "validation"), [([60, 40], 15), ([3, 3], 2), ([96, 2, 2], 17)])
def test_no_test_part_is_drawn_where_none_is_wanted(counts, validation):
    parts = split_samples(source(counts), Split(test=0.0), None, 0)
    assert (len(parts.test), len(parts.validation)) == (0, validation)
    assert len(parts.train) == sum(counts) - validation


def test_without_a_test_part_fewer_samples_will_do():
    with pytest.raises(DataError, match="4 samples are too few to split; it takes 5"):
        split_samples(source([2, 2]), Split(test=0.0), None, 0)
    with pytest.raises(DataError, match="class 'c1' has 1 samples, fewer than one for each of training and validation"):
        split_samples(source([9, 1]), Split(test=0.0), None, 0)


def test_the_last_in_order_are_validation_where_there_is_no_test_part():
    data = replace(source([20, 20]), order=np.arange(40.0)[::-1], targets=np.arange(40) % 2)
    parts = split_samples(data, Split(test=0.0, order="day"), None, 0)
    assert parts.validation.tolist() == list(range(6))


def test_an_official_test_set_is_kept_though_none_would_be_drawn():
    data = source([50, 50], official_test=20)
    data.targets[80:] = np.arange(20) % 2
    assert len(split_samples(data, Split(test=0.0), None, 0).test) == 20


def test_an_official_test_set_that_lacks_a_class_cannot_be_helped_by_the_split():
    with pytest.raises(DataError, match=r"class 'c0' .* none among the 20 test samples; add samples or remove"):
        split_samples(source([50, 50], official_test=20), Split(), None, 0)


def test_shares_that_leave_nothing_to_train_on_are_refused():
    values = Source(name="v", inputs=np.zeros((10, 1, 1, 1)), targets=np.ones(10, np.float32), fingerprint="")
    with pytest.raises(DataError, match="no samples are left to train on"):
        split_samples(values, Split(validation=0.01, test=0.89), None, 0)
    parts = split_samples(values, Split(validation=0.89, test=0.01), None, 0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1, 8, 1)


def test_regression_is_split_without_strata():
    values = Source(name="v", inputs=np.zeros((40, 1, 1, 1)), targets=np.ones(40, np.float32), fingerprint="")
    parts = split_samples(values, Split(validation=0.25, test=0.25), None, 0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (20, 10, 10)
