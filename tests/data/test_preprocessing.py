from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from harness.data import check_preprocessing, load, prepare
from harness.data.modalities import modalities
from harness.errors import DataError
from harness.spec.task import BuiltinTask, CsvTask, NpzTask

CPU = torch.device("cpu")
ROWS = 80


def applied_to(preprocessing, raw):
    return [tensor.numpy() for tensor in prepare(preprocessing, raw).tensors(CPU)]


def raw_table():
    rng = np.random.default_rng(0)
    size = np.where(rng.random(ROWS) < 0.2, np.nan, rng.normal(1e4, 3.0, ROWS))
    colour = rng.choice(["red", "green", "blue", None], ROWS)
    return pd.DataFrame({"colour": colour, "size": size, "weight": rng.exponential(2.0, ROWS)})


@pytest.fixture
def table(tmp_path):
    frame = raw_table()
    path = tmp_path / "table.csv"
    frame.assign(y=np.arange(ROWS) % 2).to_csv(path, index=False)
    return frame, load(CsvTask(csv=path, target="y"), seed=1)


def test_numbers_match_scikit_learn_fitted_on_train_only(table):
    frame, data = table
    numbers = frame[["size", "weight"]].to_numpy()
    reference = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(numbers[data.train.index])
    for part in (data.train, data.validation, data.open_test()):
        assert np.allclose(part.inputs[0], reference.transform(numbers[part.index]), rtol=0, atol=1e-6)
    assert np.allclose(data.train.inputs[0].mean(0), 0, atol=1e-6)


def test_codes_match_scikit_learn_with_zero_for_missing(table):
    frame, data = table
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    encoder.fit(frame[["colour"]].iloc[data.train.index].astype(object))
    expected = encoder.transform(frame[["colour"]].iloc[data.validation.index].astype(object)) + 1
    assert np.array_equal(data.validation.inputs[1], expected)
    assert data.shape.inputs[1].cardinalities == (4,)


def test_categories_not_seen_in_train_become_code_zero(tmp_path):
    path = tmp_path / "t.csv"
    kinds = ["a", "b"] * (ROWS // 2)
    data = load_with(path, kinds)
    kinds[data.validation.index[0]] = "only in validation"
    data = load_with(path, kinds)
    assert data.preprocessing["categorical"][0]["categories"] == ["a", "b"]
    assert data.validation.inputs[1][0, 0] == 0
    assert data.for_refit().shape.inputs[1].cardinalities == (4,)


def load_with(path, kinds):
    pd.DataFrame({"kind": kinds, "x": np.arange(ROWS) / 2, "y": np.arange(ROWS) % 2}).to_csv(path, index=False)
    return load(CsvTask(csv=path, target="y"), seed=0)


def test_preprocessing_survives_json_and_gives_what_load_gave(table):
    frame, data = table
    preprocessing = json.loads(json.dumps(data.preprocessing))
    for part in (data.train, data.validation):
        applied = applied_to(preprocessing, frame.iloc[part.index])
        assert all(np.array_equal(*both) for both in zip(applied, part.inputs, strict=True))


def test_the_distribution_of_numbers_and_the_counts_of_categories_are_those_of_train(table):
    frame, data = table
    for place, fitted in enumerate(data.preprocessing["numeric"]):
        bins = len(fitted["distribution"]) - 1
        assert bins == 4 * (len(data.train) // 48)
        expected = np.quantile(data.train.inputs[0][:, place].astype(np.float64), np.linspace(0, 1, bins + 1))
        assert fitted["distribution"] == pytest.approx(expected, abs=1e-5)
    (colour,) = data.preprocessing["categorical"]
    seen = frame["colour"].iloc[data.train.index].value_counts()
    assert colour["counts"] == [seen[name] for name in colour["categories"]]
    numbers, codes = data.shape.inputs
    assert codes.counts == (tuple(colour["counts"]),)
    assert numbers.distribution[1] == tuple(data.preprocessing["numeric"][1]["distribution"])


def test_the_preprocessing_of_a_version_that_did_not_note_them_is_of_use(table):
    frame, data = table
    older = json.loads(json.dumps(data.preprocessing))
    for each in (*older["numeric"], *older["categorical"]):
        each.pop("distribution", None)
        each.pop("counts", None)
    check_preprocessing(older)
    applied = applied_to(older, frame.iloc[data.validation.index])
    assert all(np.array_equal(*both) for both in zip(applied, data.validation.inputs, strict=True))
    assert not any(modalities["table"].inputs(older)[0].distribution)


def test_raw_tables_may_have_other_columns_and_unknown_or_missing_values(table):
    _, data = table
    raw = pd.DataFrame({"more": [1, 2], "weight": ["1.5", None], "colour": ["violet", "red"], "size": [1e4, np.nan]})
    x_NF, c_NK = applied_to(data.preprocessing, raw)
    size, weight = data.preprocessing["numeric"]
    assert c_NK.ravel().tolist() == [0, 3]
    assert x_NF[0, 1] == pytest.approx((1.5 - weight["mean"]) / weight["scale"])
    assert x_NF[1, 0] == pytest.approx((size["median"] - size["mean"]) / size["scale"])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (pd.DataFrame({"sizes": [1.0], "weight": [1.0], "colour": ["red"]}), "'size' is missing; did you mean 'sizes'"),
        (pd.DataFrame({"size": ["big"], "weight": [1.0], "colour": ["red"]}), "'size' was numeric in training"),
        (pd.DataFrame({"size": [np.inf], "weight": [1.0], "colour": ["red"]}), "'size' holds an infinite value"),
        (np.zeros((2, 2)), "expected N x 3: colour, size, weight"),
        ([["red", 1.0, 2.0], ["red"]], "cannot be made an array .*; give each as many"),
    ],
)
def test_raw_tables_that_do_not_fit_are_refused(table, raw, message):
    with pytest.raises(DataError, match=message):
        applied_to(table[1].preprocessing, raw)


def test_raw_arrays_stand_for_the_columns_in_order_with_useless_ones_in_place(tmp_path):
    x = np.random.default_rng(0).normal(size=(ROWS, 4))
    x[:, 1] = 7.0
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(ROWS) % 2)
    data = load(NpzTask(npz=tmp_path / "a.npz"), seed=0)
    assert data.shape.inputs[0].sizes == (3,)
    assert any("'1' is the same in every row" in note for note in data.notes)
    (applied,) = applied_to(data.preprocessing, x[data.validation.index])
    assert np.array_equal(applied, data.validation.inputs[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_standardised_per_channel_by_train_alone(tmp_path, dtype, channels):
    rng = np.random.default_rng(0)
    x = (rng.integers(0, 256, (ROWS, channels, 5, 4)) * np.arange(1, channels + 1)[:, None, None] // 3).astype(dtype)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(ROWS) % 2)
    data = load(NpzTask(npz=tmp_path / "a.npz"), seed=0)
    seen = x[data.train.index].astype(np.float64)
    mean, std = seen.mean(axis=(0, 2, 3)), seen.std(axis=(0, 2, 3))
    assert np.allclose(data.preprocessing["mean"], mean, rtol=1e-6)
    assert np.allclose(data.preprocessing["std"], std, rtol=1e-6)
    (x_NCHW,) = data.validation.tensors(CPU)
    expected = (x[data.validation.index] - mean[:, None, None]) / std[:, None, None]
    assert np.allclose(x_NCHW.numpy(), expected, atol=1e-5)
    (applied,) = applied_to(json.loads(json.dumps(data.preprocessing)), x[data.validation.index])
    assert np.array_equal(applied, x_NCHW.numpy())
    with pytest.raises(DataError, match=r"raw images are .*resize them"):
        applied_to(data.preprocessing, x[:, :, :4])


def test_images_of_one_value_stay_finite(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((ROWS, 4, 4), 7, np.uint8), y=np.arange(ROWS) % 2)
    (x_NCHW,) = load(NpzTask(npz=tmp_path / "a.npz"), seed=0).train.tensors(CPU)
    assert torch.equal(x_NCHW, torch.zeros_like(x_NCHW))


def test_tensors_leave_the_part_as_it_was(tmp_path):
    x = np.random.default_rng(0).normal(3, 2, (ROWS, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(ROWS) % 2)
    part = load(NpzTask(npz=tmp_path / "a.npz"), seed=0).train
    part.tensors(CPU)
    assert np.array_equal(part.inputs[0][:, 0], x[part.index])
    assert part.placed_bytes == part.tensors(CPU)[0].nbytes + part.targets.nbytes


def test_targets_keep_their_units_and_their_scale_is_that_of_train():
    data = load(BuiltinTask(builtin="diabetes"), seed=0)
    targets = data.true_targets("train")
    assert targets.max() > 300
    assert data.preprocessing["target"]["mean"] == pytest.approx(targets.mean())
    assert data.preprocessing["target"]["scale"] == pytest.approx(targets.std())
    assert data.train.targets.tolist() == pytest.approx((targets - targets.mean()).tolist(), rel=1e-6)
    assert load(BuiltinTask(builtin="wine"), seed=0).preprocessing["target"]["classes"] == list(
        load(BuiltinTask(builtin="wine"), seed=0).class_names
    )


def test_column_without_a_value_in_train_and_one_too_large(tmp_path):
    path = tmp_path / "t.csv"
    held_out = load_with(path, ["a", "b"] * (ROWS // 2)).validation.index
    late = np.full(ROWS, np.nan)
    late[held_out] = np.arange(len(held_out))
    base = pd.DataFrame({"late": late, "x": np.arange(ROWS) / 2, "y": np.arange(ROWS) % 2})
    base.to_csv(path, index=False)
    data = load(CsvTask(csv=path, target="y"), seed=0)
    assert data.shape.inputs[0].sizes == (1,)
    assert any("'late' is the same in every training sample: left out" in note for note in data.notes)
    base.assign(x=np.where(base["y"], 1e300, -1e300)).to_csv(path, index=False)
    with pytest.raises(DataError, match="'x' holds values too large"):
        load(CsvTask(csv=path, target="y"), seed=0)


def messy_rows():
    """Rows as people write them: no value of the first ones alone says how its column is to be read."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "price": [f"{1000 + n % 7 * 111:,} €".replace(",", ".") + "" for n in range(ROWS)],
            "area": [f"{n % 9},125" for n in range(ROWS)],
            "day": [f"{1 + n % 28}/{1 + n % 12}/2024" for n in range(ROWS)],
            "grade": rng.choice(["1.0", "2", "2.0", "3.5"], ROWS),
            "zip": rng.choice(["02134", "10027"], ROWS),
            "income": rng.choice(["?", "5", "-999", "7.000"], ROWS),
        }
    )
    frame.loc[50, "price"] = "1.234.567,50 €"
    frame.loc[51, "area"] = "2,5"
    return frame


def test_raw_rows_are_read_like_the_file_one_by_one_as_well(tmp_path):
    """The column as a whole said what is decimal, which number is the day, and which words are missing values."""
    frame = messy_rows()
    path = tmp_path / "t.csv"
    frame.assign(y=np.arange(ROWS) % 2).to_csv(path, index=False, sep=";")
    missing = {"income": ["?", -999]}
    task = CsvTask(csv=path, target="y", dates=["day"], categorical=["grade"], missing=missing, separator=";")
    data = load(task, seed=0)
    preprocessing = json.loads(json.dumps(data.preprocessing))
    assert preprocessing["categorical"][0]["categories"] == ["1", "2", "3.5"]
    for part in (data.train, data.validation, data.open_test()):
        for at, row in enumerate(part.index):
            applied = prepare(preprocessing, frame.iloc[[row]])
            assert all(np.array_equal(new[0], old[at]) for new, old in zip(applied.inputs, part.inputs, strict=True))
        together = prepare(preprocessing, frame.iloc[part.index])
        assert all(np.array_equal(*both) for both in zip(together.inputs, part.inputs, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"price": "5 $"},
            "'price' was numeric in training, and holds '5 \\$', in '\\$' and not in '€', in row 1; convert it",
        ),
        ({"area": "3.1.2"}, "'area' was numeric in training, and holds '3.1.2'"),
        ({"area": "1.5"}, "'area' was numeric in training, and holds '1.5', which does not fit"),
        ({"day": "31/31/2024"}, "'day' held dates in training: '31/31/2024' is not a date that can be read, in row 1"),
    ],
)
def test_raw_rows_that_are_written_otherwise_are_refused(tmp_path, change, message):
    frame = messy_rows()
    path = tmp_path / "t.csv"
    frame.assign(y=np.arange(ROWS) % 2).to_csv(path, index=False, sep=";")
    missing = {"income": ["?", -999]}
    data = load(CsvTask(csv=path, target="y", dates=["day"], missing=missing, separator=";"), seed=0)
    with pytest.raises(DataError, match=message):
        prepare(data.preprocessing, frame.iloc[[0]].assign(**change))


@pytest.mark.parametrize("options", [{}, {"decimal": ","}])
def test_a_column_without_a_decimal_mark_has_that_of_the_other_columns(tmp_path, options):
    """As in training: beside decimal commas ``1.200`` are a thousand and two hundred, whatever column it stands in."""
    path = tmp_path / "t.csv"
    whole = [str(500 + n) for n in range(ROWS)]
    frame = pd.DataFrame(
        {"rent": whole, "fee": [f"{text} €" for text in whole], "area": [f"{text},5" for text in whole]}
    )
    frame.assign(y=np.arange(ROWS) % 2).to_csv(path, index=False, sep=";")
    preprocessing = load(CsvTask(csv=path, target="y", **options), seed=0).preprocessing
    same = [frame.iloc[[0]].assign(rent=rent, fee=f"{rent} €") for rent in ("1200", "1.200", "1200,0")]
    found = [prepare(preprocessing, row).inputs[0] for row in same]
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_a_decimal_category_keeps_its_digits(tmp_path):
    path = tmp_path / "t.csv"
    kinds = ["1.05", "15", "2.0", "2"] * (ROWS // 4)
    pd.DataFrame({"kind": kinds, "x": np.arange(ROWS) / 2, "y": np.arange(ROWS) % 2}).to_csv(path, index=False)
    data = load(CsvTask(csv=path, target="y", categorical=["kind"]), seed=0)
    assert data.preprocessing["categorical"][0]["categories"] == ["1.05", "15", "2"]
