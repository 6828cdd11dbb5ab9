"""Time series: what a model is given of them, from arrays, NPZ files, the built-in task and new samples."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, settings
from hypothesis import given as any_of
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_digits

from harness.data import Unusual, check_preprocessing, load, place, prepare
from harness.data.alike import alike
from harness.data.series import filled, of_array, packed
from harness.data.sources.given import given
from harness.errors import DataError
from harness.records import InputKind
from harness.spec import canonical, parse_spec, spec_hash
from harness.spec.task import ArraysTask, BuiltinTask, NpzTask
from harness.spec.training import Augment
from harness.study.baseline_models import Columns

CPU = torch.device("cpu")
N = 40
Y = np.arange(N) % 2
RNG = np.random.default_rng(0)


def load_npz(tmp_path, **arrays):
    np.savez(tmp_path / "s.npz", **arrays)
    return load(NpzTask.model_validate({"npz": tmp_path / "s.npz", "as": "series"}), seed=0)


def unequal(low=4, high=9, channels=2):
    """Return series of several lengths, filled up with NaN."""
    values = 5.0 + 3.0 * RNG.normal(size=(N, high, channels)).astype(np.float32)
    lengths = RNG.integers(low, high + 1, N)
    lengths[0] = low
    values[np.arange(high) >= lengths[:, None]] = np.nan
    return values, lengths


def test_series_of_one_length_are_standardised_by_channel_and_have_no_mask(tmp_path):
    x = 5.0 + RNG.normal(size=(N, 7, 3)) * [1.0, 10.0, 100.0]
    data = load_npz(tmp_path, x=x, y=Y)
    (series,) = data.shape.inputs
    assert (series.kind, series.sizes) == (InputKind.SERIES, (7, 3))
    train = x[data.train.index].reshape(-1, 3)
    for part in (data.train, data.validation, data.open_test()):
        (x_NTC,) = part.tensors(CPU)
        np.testing.assert_allclose(x_NTC, (x[part.index] - train.mean(0)) / train.std(0), rtol=2e-5, atol=1e-6)


def test_series_of_a_task_are_augmented_and_sounds_masks_are_refused(tmp_path):
    values, _ = unequal()
    part = load_npz(tmp_path, x=values, y=Y).train
    options = {"device": CPU, "batch_size": 8, "seed": 0, "shuffle": True}
    (x_BTC, mask_BT), (plain_BTC, _) = (
        next(iter(place(part, **options, augment=augment).epoch(1))).inputs for augment in (Augment(jitter=0.1), None)
    )
    assert bool((x_BTC[~mask_BT] == 0).all())
    assert 0.05 < float((x_BTC - plain_BTC)[mask_BT].std()) < 0.2
    with pytest.raises(DataError, match=r"augment\.frequency_mask needs sounds, and this task has none: remove it"):
        place(part, **options, augment=Augment(frequency_mask=0.1))


def test_two_dimensions_are_series_of_one_channel(tmp_path):
    x = RNG.normal(size=(N, 7))
    data = load_npz(tmp_path, x=x, y=x[:, 0])
    assert data.shape.inputs[0].sizes == (7, 1)
    assert data.shape.kind == "regression"


def test_series_of_several_lengths_have_a_mask_and_zeros_behind_their_end(tmp_path):
    values, lengths = unequal()
    data = load_npz(tmp_path, x=values, y=Y)
    series, mask = data.shape.inputs
    steps = lengths[data.train.index].max()
    assert (series.sizes, mask.kind, mask.sizes, mask.dtype) == ((steps, 2), InputKind.MASK, (steps,), "bool")
    known = values[data.train.index].reshape(-1, 2)
    mean, std = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    for part in (data.train, data.validation, data.open_test()):
        x_NTC, mask_NT = (tensor.numpy() for tensor in part.tensors(CPU))
        assert mask_NT.dtype == bool
        np.testing.assert_array_equal(mask_NT.sum(1), np.minimum(lengths[part.index], steps))
        assert mask_NT[:, 0].all()
        assert (x_NTC[~mask_NT] == 0).all()
        want = ((values[part.index] - mean) / std)[:, :steps]
        np.testing.assert_allclose(x_NTC[mask_NT], want[mask_NT], rtol=1e-4, atol=1e-5)
    assert any("series have 4 to 9 steps" in note for note in data.notes)


def test_lengths_say_where_a_series_ends_whatever_stands_behind(tmp_path):
    values, lengths = unequal()
    first = load_npz(tmp_path, x=values, y=Y)
    second = load_npz(tmp_path, x=np.where(np.isnan(values), 1e6, values), y=Y, lengths=lengths)
    for part in ("train", "validation"):
        for one, other in zip(getattr(first, part).inputs, getattr(second, part).inputs, strict=True):
            np.testing.assert_array_equal(one, other)


@settings(max_examples=30)
@any_of(
    values=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 3)),
        elements=st.floats(-1e3, 1e3, width=32) | st.just(np.nan),
    )
)
def test_missing_values_are_interpolated_as_pandas_does(values):
    series = of_array(values, "x")
    assume(not np.isnan(values).all(axis=1).any())
    for row, (found_TC, length) in enumerate(zip(filled(series), series.lengths, strict=True)):
        want = pd.DataFrame(values[row, :length]).interpolate(limit_direction="both")
        np.testing.assert_allclose(found_TC[:length], want, rtol=1e-4, atol=1e-3)


def test_the_built_in_series_are_the_rows_of_the_digits():
    data = load(BuiltinTask(builtin="digits-series"), seed=0)
    images = load_digits().images
    (series,) = data.shape.inputs
    assert (series.kind, series.sizes, len(data.class_names)) == (InputKind.SERIES, (8, 8), 10)
    scale, mean = np.array(data.preprocessing["std"]), np.array(data.preprocessing["mean"])
    np.testing.assert_allclose(data.train.inputs[0] * scale + mean, images[data.train.index], atol=1e-4)
    assert data.preprocessing["std"][0] > 0.0


def test_a_channel_that_never_changes_is_zero(tmp_path):
    x = RNG.normal(size=(N, 6, 2))
    x[:, :, 1] = 0.1
    data = load_npz(tmp_path, x=x, y=Y)
    assert data.preprocessing["std"][1] == 1.0
    assert np.abs(data.train.inputs[0][:, :, 1]).max() < 1e-6


@pytest.fixture(scope="module")
def of_one_length(tmp_path_factory):
    return load_npz(tmp_path_factory.mktemp("one"), x=RNG.normal(size=(N, 7, 2)), y=Y)


@pytest.fixture(scope="module")
def of_several(tmp_path_factory):
    values, lengths = unequal()
    return load_npz(tmp_path_factory.mktemp("several"), x=values, y=Y, lengths=lengths)


def test_preprocessing_is_plain_data_that_is_checked(of_several):
    fitted = json.loads(json.dumps(of_several.preprocessing))
    check_preprocessing(fitted)
    with pytest.raises(ValueError, match="steps"):
        check_preprocessing({**fitted, "steps": 0})
    with pytest.raises(ValueError, match="channels"):
        check_preprocessing({**fitted, "channels": 3})


def test_new_series_come_as_arrays_or_as_a_list_of_them(of_several):
    steps = of_several.preprocessing["steps"]
    one, two = RNG.normal(size=(steps + 3, 2)), RNG.normal(size=(2, 2))
    unusual = Unusual()
    x_NTC, mask_NT = prepare(of_several.preprocessing, [one, two], unusual=unusual).inputs
    assert mask_NT.sum(1).tolist() == [steps, 2]
    assert unusual.told() == ["longer than any in training, cut at the end: 1 of 'series'"]
    array = np.full((2, steps + 3, 2), np.nan)
    array[0], array[1, :2] = one, two
    for found, want in zip(prepare(of_several.preprocessing, array).inputs, (x_NTC, mask_NT), strict=True):
        np.testing.assert_array_equal(found, want)


def test_missing_values_of_new_series_are_counted(of_one_length):
    raw = RNG.normal(size=(3, 7, 2))
    raw[1, 2:4, 0] = np.nan
    raw[2, 6, :] = 1.0
    unusual = Unusual()
    prepare(of_one_length.preprocessing, raw, unusual=unusual)
    assert unusual.as_dict()["missing"] == {"0": 2}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((3, 5, 2)), "a series has 5 steps, and all in training had 7, in row 1; give all steps, or train on"),
        (np.zeros((3, 7)), "raw series have 1 channels, the training data's had 2: 0, 1; give as many"),
        (np.zeros((3, 7, 2, 1)), "raw series is 3 x 7 x 2 x 1 of float64; expected series"),
        (np.full((2, 7, 2), "a"), "raw series is 2 x 7 x 2 of <U1; expected series"),
        ([np.zeros((7, 3))], "a raw series is (7, 3) of float64; expected numbers, steps x 2"),
        ([[1.0, [2.0]]], "raw samples cannot be made an array"),
        (np.full((2, 7, 2), np.nan), "holds a series without steps, in row 1; remove it"),
        (np.where(np.arange(14).reshape(1, 7, 2) == 3, np.inf, 0.0), "channel '1' holds a value that is infinite"),
        (np.where(np.arange(14).reshape(1, 7, 2) % 2, np.nan, 0.0), "channel '1' has no value at any step, in row 1"),
        (pd.DataFrame({"a": [1.0]}), "the training data were arrays or a .ts file, not a table"),
    ],
)
def test_new_series_that_do_not_fit_are_refused(of_one_length, raw, message):
    with pytest.raises(DataError) as caught:
        prepare(of_one_length.preprocessing, raw)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((0, 4))}, "not one each"),
        ({"x": np.zeros((N, 4, 0))}, "expected series: N x steps, or N x steps x channels"),
        ({"x": np.zeros((N, 4)), "lengths": np.zeros(N, np.int64)}, "a series without steps, in row 1; remove it"),
        ({"x": np.zeros((N, 4)), "lengths": np.full(N, 5)}, "'lengths' must hold a whole number from 0 to 4"),
        ({"x": np.zeros((N, 4)), "lengths": np.full(N, 2.0)}, "'lengths' must hold a whole number"),
        ({"x": np.full((N, 4), 1e39)}, "channel '0' holds a value that is infinite or beyond float32 (3e38), in row 1"),
    ],
)
def test_arrays_that_hold_no_series_are_refused_in_one_line(tmp_path, arrays, message):
    with pytest.raises(DataError) as caught:
        load_npz(tmp_path, y=Y[: len(arrays["x"])], **arrays)
    assert message in str(caught.value)
    assert str(tmp_path / "s.npz") in str(caught.value)


def test_equal_series_are_known_to_be(tmp_path):
    values, lengths = unequal()
    values[7], lengths[7] = values[3], lengths[3]
    codes = alike(of_array(values, "x"))
    assert codes[7] == codes[3]
    assert len(set(codes)) == N - 1
    del tmp_path


def test_series_from_python_are_those_of_the_file(tmp_path):
    values, _ = unequal()
    file = load_npz(tmp_path, x=values, y=Y)
    task = ArraysTask.model_validate({"arrays": "data", "as": "series"})
    python = load(task, seed=0, given=given((values, Y)))
    for one, other in zip(file.train.inputs, python.train.inputs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_key_is_written_as_it_is_read_and_changes_no_other_hash():
    text = "task: {npz: a.npz%s}\nspace: {architecture: mlp}"
    plain, series = (parse_spec(text % key, origin="x") for key in ("", ", as: series"))
    assert "as" not in canonical(plain)["task"]
    assert canonical(series)["task"]["as"] == "series"
    again = parse_spec(json.dumps(canonical(series)), origin="y")
    assert spec_hash(again) == spec_hash(series) != spec_hash(plain)


def test_baselines_see_all_values_and_no_mask(of_several):
    columns = Columns.of(of_several.shape, 0)
    found = columns.inputs(of_several.train)
    np.testing.assert_array_equal(found, of_several.train.inputs[0].reshape(len(of_several.train), -1))
    assert columns.width == found.shape[1]


def test_series_are_packed_with_nothing_behind_their_end():
    series = packed([np.zeros((2, 1)), np.ones((4, 1))], ("a",))
    assert series.there.sum() == 6
    assert np.isnan(series.values[0, 2:]).all()
    assert not series.missing.any()
