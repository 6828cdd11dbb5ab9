"""Greedy selection of what to average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.study.averaging.selection import crossed, mean_of, select


def drawn(seed, models=5, samples=40, classes=3):
    """Return probabilities of models that know a part of the truth each, and the truth."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, samples)
    logits = rng.normal(size=(models, samples, classes)) + 1.5 * np.eye(classes)[targets]
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), targets


def cost_on(targets):
    """Return the log loss."""
    return lambda outputs: -float(np.log(outputs[np.arange(len(targets)), targets]).mean())


def by_hand(outputs, cost, size):
    """Return the same written down naively: lists of models, of which equal ones may be several."""
    order = sorted(range(len(outputs)), key=lambda model: cost(outputs[model]))
    chosen = min(
        (order[:n] for n in range(1, min(size, len(order)) + 1)), key=lambda few: cost(outputs[few].mean(axis=0))
    )
    while len(chosen) < size:
        longer = min(
            ([*chosen, model] for model in range(len(outputs))), key=lambda few: cost(outputs[few].mean(axis=0))
        )
        if cost(outputs[longer].mean(axis=0)) >= cost(outputs[chosen].mean(axis=0)):
            break
        chosen = longer
    return np.bincount(chosen, minlength=len(outputs))


@pytest.mark.parametrize("seed", range(5))
def test_it_takes_the_steps_of_the_algorithm(seed):
    outputs, targets = drawn(seed)
    counts = select(outputs, cost_on(targets), 12)
    np.testing.assert_array_equal(counts, by_hand(outputs, cost_on(targets), 12))


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 20))
def test_it_is_never_worse_than_the_best_model_and_within_its_size(seed, models, size):
    outputs, targets = drawn(seed, models)
    cost = cost_on(targets)
    counts = select(outputs, cost, size)
    assert 1 <= counts.sum() <= size
    assert cost(mean_of(outputs, counts)) <= min(map(cost, outputs)) * (1 + 1e-8)


def test_equal_models_are_one():
    outputs, targets = drawn(0, models=1)
    assert select(np.repeat(outputs, 4, axis=0), cost_on(targets), 9).tolist() == [1, 0, 0, 0]


def test_each_half_is_selected_for_by_the_other():
    """Two models that are right on one half each: what a half prefers is wrong for the other."""
    outputs, targets = np.full((2, 8, 2), 0.5), np.zeros(8, int)
    looked_at = []

    def judge(rows):
        looked_at.append(set(rows))
        return cost_on(targets[rows])

    found = crossed(outputs, judge, 3, seed=1)
    assert looked_at[0] | looked_at[1] == set(range(8))
    assert not looked_at[0] & looked_at[1]
    first = sorted(looked_at[0])
    outputs[0, first], outputs[1, first] = [0.9, 0.1], [0.1, 0.9]
    second = sorted(looked_at[1])
    outputs[0, second], outputs[1, second] = [0.1, 0.9], [0.9, 0.1]
    np.testing.assert_array_equal(found, np.full((8, 2), 0.5))
    np.testing.assert_array_equal(crossed(outputs, judge, 3, seed=1), np.tile([0.1, 0.9], (8, 1)))
