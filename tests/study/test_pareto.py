"""The one rule for what beats what, against the definition and against Optuna."""

import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.study.pareto import dominating, pareto_front, signed

LEVELS = st.sampled_from([0, 1, 2, math.nan])


def beats(a: np.ndarray, b: np.ndarray, maximize: list[bool]) -> bool:
    pairs = [(x, y) if up else (-x, -y) for x, y, up in zip(a, b, maximize, strict=True)]
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


@settings(max_examples=60)
@given(
    values=st.integers(1, 3).flatmap(
        lambda count: hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(count)), elements=LEVELS)
    ),
    maximize=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_the_pareto_front_is_what_comparing_all_pairs_gives(values, maximize):
    maximize = maximize[: values.shape[1]]
    whole = [row for row in values if not np.isnan(row).any()]
    expected = [not np.isnan(row).any() and not any(beats(other, row, maximize) for other in whole) for row in values]
    assert pareto_front(values, maximize).tolist() == expected


@pytest.mark.parametrize("maximize", [(True, True), (True, False), (False, True), (False, False)])
def test_the_front_is_optunas_for_every_pair_of_directions(maximize):
    values = np.random.default_rng(0).integers(0, 9, (60, 2)).astype(float)
    study = optuna.create_study(directions=["maximize" if more else "minimize" for more in maximize])
    study.add_trials([optuna.create_trial(values=row) for row in values.tolist()])
    assert np.flatnonzero(pareto_front(values, maximize)).tolist() == [trial.number for trial in study.best_trials]


def test_equal_rows_share_the_front_and_what_is_not_known_is_never_on_it():
    assert pareto_front([[1.0, 2.0], [1.0, 2.0], [math.nan, 3.0], [1.0, 1.0]], [True, True]).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert pareto_front([], [True, False]).tolist() == []


def test_a_row_with_a_nan_dominates_nothing_and_is_not_dominated():
    rows = signed([[2.0, math.nan], [2.0, 2.0]], [True, True])
    assert dominating(rows, signed([1.0, 1.0], [True, True])).tolist() == [False, True]
    assert not dominating(rows, signed([math.nan, 1.0], [True, True])).any()
