"""Data from Python is what it would be from a file."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from harness.data import given, load
from harness.errors import DataError
from harness.spec.task import ArraysTask, FrameTask, NpzTask, ParquetTask

ROWS = 60
RNG = np.random.default_rng(0)


def frame():
    return pd.DataFrame(
        {
            "area": np.where(np.arange(ROWS) % 7, RNG.normal(50, 10, ROWS), np.nan),
            "rooms": pd.array([None, *RNG.integers(1, 6, ROWS - 1)], dtype="Int64"),
            "city": pd.Categorical(RNG.choice(["Bern", "Chur", "Thun"], ROWS)),
            "lift": RNG.random(ROWS) < 0.5,
            "built": pd.date_range("2001-01-01", periods=ROWS, freq="7D"),
            "zip": RNG.choice(["02134", None, "10027"], ROWS),
            "sold": np.arange(ROWS) % 2 == 0,
        }
    )


def load_frame(data, target="sold", **options):
    found = given(data, target)
    return load(FrameTask(**{**found.task, "target": "sold", **options}), seed=0, given=found)


def load_given(data, target):
    found = given(data, target)
    task = FrameTask if found.frame is not None else ArraysTask
    return load(task(**found.task), seed=0, given=found)


def same(one, other):
    assert one.preprocessing == other.preprocessing
    assert one.class_names == other.class_names
    for first, second in (
        (one.train, other.train),
        (one.validation, other.validation),
        (one.open_test(), other.open_test()),
    ):
        arrays = zip(
            (*first.inputs, first.targets, first.index), (*second.inputs, second.targets, second.index), strict=True
        )
        assert all(np.array_equal(*pair) for pair in arrays)


@pytest.mark.parametrize("labels", [None, [f"house {n}" for n in range(ROWS)]])
def test_a_frame_is_what_its_parquet_file_is(tmp_path, labels):
    table = frame()
    if labels:
        table.index = labels
    table.to_parquet(tmp_path / "homes.parquet")
    file = load(ParquetTask(parquet=tmp_path / "homes.parquet", target="sold", dates=["built"]), seed=0)
    data = load_frame(table, dates=["built"])
    same(data, file)
    assert [n.replace("data: ", "", 1) for n in data.notes] == [
        n.replace(f"{tmp_path / 'homes.parquet'}: ", "", 1).replace("homes: ", "data: ") for n in file.notes
    ]
    assert data.describe_test().equals(file.describe_test())
    assert data.name == "data"


@pytest.mark.parametrize(
    "split",
    [
        lambda table: ((table.drop(columns="sold"), table["sold"]), None),
        lambda table: ((table.drop(columns="sold"), table["sold"].to_numpy()), "sold"),
        lambda table: ((table.drop(columns="sold"), table[["sold"]]), None),
        lambda table: ({"inputs": table.drop(columns="sold"), "targets": table["sold"].tolist()}, "sold"),
        lambda table: ((table.drop(columns="sold"), table["sold"].set_axis(range(100, 100 + ROWS))), None),
    ],
)
def test_inputs_and_targets_apart_are_the_table(split):
    table = frame().drop(columns="built")
    data, target = split(table)
    apart, whole = load_frame(data, target), load_frame(table)
    same(apart, whole)
    assert apart.fingerprint == whole.fingerprint


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (RNG.normal(size=(ROWS, 3)), np.arange(ROWS) % 2),
        (RNG.integers(0, 9, (ROWS, 3)), RNG.normal(size=ROWS)),
        (RNG.integers(0, 255, (ROWS, 6, 7)).astype(np.uint8), np.array(["no", "yes"])[np.arange(ROWS) % 2]),
    ],
)
def test_arrays_are_what_their_npz_file_is(tmp_path, x, y):
    np.savez(tmp_path / "a.npz", inputs=x, targets=y)
    file = load(NpzTask(npz=tmp_path / "a.npz", inputs="inputs", targets="targets"), seed=0)
    for data in (
        (x, y),
        {"targets": y.tolist(), "inputs": x},
        (x, pd.Series(y, dtype=object if y.dtype.kind == "U" else None)),
    ):
        found = given(data)
        loaded = load(ArraysTask(**found.task), seed=0, given=found)
        same(loaded, file)
        assert loaded.fingerprint == file.fingerprint


def test_the_fingerprint_sees_names_types_and_values():
    table = frame().drop(columns="built")
    first = load_frame(table).fingerprint
    assert load_frame(table.copy()).fingerprint == first
    changed = table.copy()
    changed.loc[3, "area"] += 1e-9
    others = [changed, table.rename(columns={"area": "size"}), table.astype({"area": "float32"}), table.iloc[::-1]]
    assert len({first, *(load_frame(other).fingerprint for other in others)}) == 5


@pytest.mark.parametrize(
    ("data", "target", "message"),
    [
        (frame(), "price", "data: target 'price' is not a column; known: area"),
        (frame().set_axis(["a", "a", *"bcde", "sold"], axis=1), "sold", "data: has more than one column named 'a'"),
        (frame().assign(odd=[1, "x"] * 30), "sold", r"data: cannot be taken as a table \(.*odd"),
        (frame()[["sold"]].assign(at=datetime.time(3)), "sold", "data: column 'at' holds dates or times"),
        ((frame(), np.zeros(3)), None, "data: has 60 inputs and 3 targets; give one for each"),
        ((frame(), np.zeros(ROWS)), "area", "data: the inputs have a column 'area', as the targets are called"),
        ((np.zeros((9, 2)), np.zeros(9)), "y", "target 'y': names a column of a DataFrame"),
        ((np.zeros((9, 2)), np.arange(8)), None, "data: 'inputs' is 9 x 2 of float64 and 'targets' is 8 of int64"),
        (([[1, 2], [3]], [0, 1]), None, "data: 'inputs' cannot be made an array"),
        ({"x": [1], "targets": [1]}, None, r"data: has the keys \['targets', 'x'\]; .* give a DataFrame with target="),
        ([1, 2], None, "data: is of type list; give a DataFrame with target="),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_refused_in_one_line(data, target, message):
    with pytest.raises(DataError, match=message) as raised:
        load_given(data, target)
    assert "\n" not in str(raised.value)


def test_data_is_to_be_given_again_in_its_form():
    with pytest.raises(
        DataError, match="frame 'data': this task's data was given from Python and is in no file; give it"
    ):
        load(FrameTask(frame="data", target="y"), seed=0)
    arrays = given((np.zeros((9, 2)), np.zeros(9)))
    with pytest.raises(DataError, match="data: is arrays of 9 x 2, and the task is frame: data"):
        load(FrameTask(frame="data", target="y"), seed=0, given=arrays)
