"""Which trials keep their weights and predictions, and how these are read back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StorageError
from harness.records import Outcome, TrialRecord
from harness.study import keeping
from harness.study.keeping import kept_trials, pack_predictions, predictions_file, read_predictions, weights_file
from harness.study.objectives import Objective

FIRST = Objective("loss", maximize=False)
MIB = 2**20


def record(trial, value, **facts):
    return TrialRecord(
        trial=trial, outcome=Outcome.COMPLETE, reason="done", candidate={}, params={}, values=(value,), **facts
    )


def test_the_best_trials_that_were_trained_are_kept():
    records = [record(n, float(n % 7)) for n in range(30)]
    records += [
        record(30, -1.0, same_as=0),
        TrialRecord(trial=31, outcome=Outcome.PRUNED, reason="", candidate={}, params={}),
    ]
    kept = list(kept_trials(FIRST, records, {}))
    assert kept == sorted(range(30), key=lambda n: (n % 7, n))[: keeping.MOST_TRIALS]


def test_the_files_that_are_kept_stay_below_the_bound():
    records = [record(n, float(n)) for n in range(5)]
    assert list(kept_trials(FIRST, records, dict.fromkeys(range(5), 100 * MIB))) == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 200)), min_size=1, max_size=30))
def test_nothing_comes_back_that_was_let_go_of(drawn):
    """Else what is kept would depend on the order in which results come."""
    before: set[int] = set()
    records, sizes, gone = [], {}, set()
    for trial, (value, size) in enumerate(drawn):
        records.append(record(trial, float(value)))
        sizes[trial] = size * MIB
        kept = set(kept_trials(FIRST, records, sizes))
        gone |= before - kept
        assert not kept & gone
        assert sum(sizes[each] for each in kept) <= keeping.MOST_BYTES
        before = kept


def test_predictions_come_back_with_their_trial(tmp_path):
    outputs = np.random.default_rng(0).random((5, 3), np.float32)
    told = record(7, 0.25, figures={"value_se": float("nan")})
    for name, data in ((predictions_file(7), pack_predictions(told, outputs)), (weights_file(7), b"")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(data)
    (kept,) = read_predictions(tmp_path)
    assert kept.record.values == told.values
    assert kept.record.trial == 7
    np.testing.assert_array_equal(kept.outputs, outputs)
    (tmp_path / weights_file(7)).unlink()
    assert read_predictions(tmp_path) == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:0], lambda data: data[:200] + b"x" + data[201:]]
)
def test_damaged_predictions_are_told(tmp_path, damage):
    path = tmp_path / predictions_file(7)
    path.parent.mkdir()
    path.write_bytes(damage(pack_predictions(record(7, 0.25), np.zeros((5, 3), np.float32))))
    with pytest.raises(StorageError, match=r"trial-000007.safetensors: cannot be read \(.*\); copy it again"):
        read_predictions(tmp_path)
