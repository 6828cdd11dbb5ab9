from __future__ import annotations

import datetime
import os
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data import load
from harness.data.columns import Reading
from harness.data.targets import encode_targets
from harness.errors import DataError
from harness.records import TaskKind
from harness.spec.task import CsvTask, ParquetTask

ROWS = 60


def frame(**extra):
    rng = np.random.default_rng(0)
    columns = {
        "area": rng.normal(50, 10, ROWS).round(2),
        "rooms": rng.integers(1, 6, ROWS),
        "city": rng.choice(["Bern", "Chur", "Thun"], ROWS),
        "sold": np.arange(ROWS) % 2 == 0,
    }
    return pd.DataFrame({**columns, **extra})


def load_csv(tmp_path, table, **options):
    path = tmp_path / "homes.csv"
    if isinstance(table, str):
        path.write_text(table)
    elif isinstance(table, bytes):
        path.write_bytes(table)
    else:
        table.to_csv(path, index=False)
    return load(CsvTask(**{"csv": path, "target": "sold", **options}), seed=0)


def load_parquet(tmp_path, table, **options):
    path = tmp_path / "homes.parquet"
    table.to_parquet(path)
    return load(ParquetTask(**{"parquet": path, "target": "sold", **options}), seed=0)


def noted(data):
    """What is told beyond how the target is read."""
    return [note for note in data.notes if " is read as " not in note or ": target " not in note]


def refuse(tmp_path, table, message, *, read=load_csv, **options):
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path, table, **options)
    assert "\n" not in str(raised.value)
    assert "homes" in str(raised.value)


def test_numbers_and_categories_find_their_roles(tmp_path):
    data = load_csv(tmp_path, frame())
    assert data.name == "homes"
    assert (data.shape.features, data.shape.cardinalities) == (2, (4,))
    assert data.class_names == ("False", "True")
    assert data.notes == (f"{tmp_path / 'homes.csv'}: target 'sold' is read as 2 classes: 'False', 'True'",)
    x_NF, c_NK = data.train.inputs
    assert (x_NF.dtype, c_NK.dtype) == (np.float32, np.int64)
    assert c_NK.min() == 1
    assert c_NK.max() == 3


def test_csv_and_parquet_of_one_table_give_the_same_samples(tmp_path):
    table = frame(note=["a", None] * (ROWS // 2))
    csv, parquet = load_csv(tmp_path, table), load_parquet(tmp_path, table)
    assert csv.preprocessing == parquet.preprocessing
    for left, right in zip(csv.train.inputs, parquet.train.inputs, strict=True):
        assert np.array_equal(left, right)


def test_categorical_makes_categories_of_numbers_and_drop_leaves_columns_out(tmp_path):
    table = frame(rooms=[1.0, 2.0, 3.0, None] * (ROWS // 4))
    data = load_csv(tmp_path, table, categorical=("rooms",), drop=("city",))
    assert (data.shape.features, data.shape.cardinalities) == (1, (4,))
    assert data.preprocessing["categorical"] == [{"column": "rooms", "categories": ["1", "2", "3"]}]
    assert set(data.train.inputs[1].ravel()) == {0, 1, 2, 3}


def test_table_of_categories_alone_has_no_numeric_features(tmp_path):
    data = load_csv(tmp_path, frame(), drop=("area", "rooms"))
    assert data.shape.features == 0
    assert data.train.inputs[0].shape == (len(data.train), 0)


def test_boolean_column_with_gaps_is_categorical(tmp_path):
    data = load_csv(tmp_path, frame(lift=[True, None, False, True] * (ROWS // 4)), drop=("city",))
    assert data.preprocessing["categorical"] == [{"column": "lift", "categories": ["False", "True"]}]


def test_rows_without_target_are_dropped_with_a_note_and_keep_their_positions(tmp_path):
    table = frame()
    table["sold"] = table["sold"].astype(object)
    table.loc[[0, 7], "sold"] = None
    data = load_csv(tmp_path, table)
    (note,) = noted(data)
    assert "2 rows without a value of 'sold': dropped" in note
    positions = np.sort(np.concatenate(list(data.split_index.values())))
    assert np.array_equal(positions, np.setdiff1d(np.arange(ROWS), [0, 7]))
    assert np.array_equal(data.train.targets, (data.train.index % 2 == 0).astype(int))


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["same"] * ROWS, "'extra' is the same in every row: dropped"),
        ([3, None] * (ROWS // 2), "'extra' is the same in every row: dropped"),
        ([None] * ROWS, "'extra' is empty: dropped"),
        ([f"id-{row}x" for row in range(ROWS)], "'extra' holds a different text in every row: dropped"),
    ],
)
def test_useless_columns_are_dropped_with_a_note(tmp_path, values, note):
    data = load_csv(tmp_path, frame(extra=values))
    assert noted(data) == [f"{tmp_path / 'homes.csv'}: column {note}"]
    assert (data.shape.features, data.shape.cardinalities) == (2, (4,))


def test_identifying_integers_are_kept_with_a_note(tmp_path):
    data = load_csv(tmp_path, frame(extra=np.arange(ROWS) + 1000))
    assert data.shape.features == 3
    assert "different integer in every row; if it is an identifier, put it under `drop`" in noted(data)[0]


def test_a_text_asked_for_as_categorical_is_kept_though_all_differ(tmp_path):
    data = load_csv(tmp_path, frame(extra=[f"k{row}" for row in range(ROWS)]), categorical=("extra",))
    assert len(data.shape.cardinalities) == 2


def test_a_number_gone_wrong_is_named_with_its_line(tmp_path):
    area = [f"{row}.5" for row in range(ROWS)]
    area[41] = "twelve"
    refuse(tmp_path, frame(area=area), r"column 'area' holds numbers but for 'twelve' in line 43; .*`categorical`")
    table = frame(area=area, city=['"two\nlines"'] + ["Bern", "Chur"] * (ROWS // 2 - 1) + ["Chur"])
    refuse(tmp_path, table, "'twelve' in line 44")
    refuse(tmp_path, frame(area=area), "'twelve' in row 42", read=load_parquet)


def test_numbers_gone_wrong_are_told_by_line_after_rows_without_target(tmp_path):
    table = frame(area=[str(row) for row in range(ROWS - 1)] + ["?"])
    table["sold"] = table["sold"].astype(object)
    table.loc[3, "sold"] = None
    refuse(tmp_path, table, f"'\\?' in line {ROWS + 1}")


@pytest.mark.parametrize("written", ["2024-03-%02d", "2024-03-%02d 12:30", "2024-03-%02dT12:30:00+01:00"])
def test_columns_of_dates_are_refused(tmp_path, written):
    days = [written % (1 + row % 28) for row in range(ROWS)]
    refuse(tmp_path, frame(built=days), "column 'built' holds dates.*`dates: .'built'.`.*`drop`")
    assert load_csv(tmp_path, frame(built=days), drop=("built",)).shape.features == 2


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2024-01-01", periods=ROWS, tz="UTC"),
        [datetime.date(2024, 1, 1 + row % 28) for row in range(ROWS)],
        pd.to_timedelta(np.arange(ROWS), unit="h"),
    ],
)
def test_columns_typed_as_times_are_refused(tmp_path, values):
    refuse(tmp_path, frame(built=values), "column 'built' holds dates or times", read=load_parquet)


@pytest.mark.parametrize("values", [[[1, 2]] * ROWS, [b"raw", b"bits"] * (ROWS // 2)])
def test_values_that_are_neither_numbers_nor_text_are_refused(tmp_path, values):
    refuse(tmp_path, frame(extra=values), "column 'extra' holds .* values, neither", read=load_parquet)


def test_decimals_are_numbers_and_pandas_categories_are_categories(tmp_path):
    table = frame(price=[Decimal(row) / 4 for row in range(ROWS)], city=pd.Categorical(["a", "b", "c"] * (ROWS // 3)))
    data = load_parquet(tmp_path, table)
    assert (data.shape.features, data.shape.cardinalities) == (3, (4,))


def test_infinite_values_are_refused_with_their_line(tmp_path):
    area = np.ones(ROWS)
    area[4], area[9] = 2, -np.inf
    refuse(tmp_path, frame(area=area), "column 'area' holds an infinite value in line 11")
    refuse(tmp_path, frame(sold=area * 1.5), "target 'sold' holds infinite values")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("area,sold\n", "holds no rows"),
        ("area,sold,area\n1,2,3\n", "more than one column named 'area'"),
        ("area,sold\n1,2\n1,2,3\n", "as many values in every line"),
        ("area,sold\n1,2,3\n1,2,3\n", "as many values in every line"),
        ("area,sold\n1,Zürich\n".encode("latin-1") * 3, "not UTF-8"),
        ("Fläche,sold\n1,2\n".encode("latin-1"), "not UTF-8"),
        ("area,sold\n" + "1,\n" * 5, "'sold' is missing in every row"),
        ("area,sold\n" + "1,yes\n" * 9, "only one class"),
        ("area,sold\n" + "1,1.5\n" * 9, "is 1.5 in every row"),
        ("sold\n" + "yes\nno\n" * 9, "no column is left"),
        ("area,sold\n" + "1,yes\n1,no\n" * 9, "no column is left to learn from; .*same in every row"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path, content, message):
    refuse(tmp_path, content, message)


def test_a_byte_order_mark_and_spaces_after_commas_do_no_harm(tmp_path):
    rows = "".join(f"{row}, {'yes' if row % 3 else 'no'}\n" for row in range(30))
    data = load_csv(tmp_path, ("\ufeffarea, sold\n" + rows).encode())
    assert data.class_names == ("no", "yes")
    assert data.preprocessing["columns"] == ["area"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "solt"}, "target 'solt' is not a column; did you mean 'sold'"),
        ({"drop": ("cty",)}, "drop 'cty' is not a column; did you mean 'city'"),
        ({"categorical": ("room",)}, "categorical 'room' is not a column; did you mean 'rooms'"),
        ({"drop": ("sold",)}, "the target 'sold' may not be under `drop`"),
    ],
)
def test_names_that_are_no_columns_get_a_suggestion(tmp_path, options, message):
    refuse(tmp_path, frame(), message, **options)


def test_a_class_too_rare_to_split_is_named(tmp_path):
    table = frame(sold=["yes", "no"] * (ROWS // 2 - 1) + ["maybe", "maybe"])
    refuse(tmp_path, table, "class 'maybe' has 2 samples")


def test_paths_that_are_no_readable_file_are_refused(tmp_path, monkeypatch):
    for target, message in ((tmp_path / "homes-none.csv", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=message):
            load(CsvTask(csv=target, target="y"), seed=0)
    table = tmp_path / "homes.csv"
    table.write_text("a,y\n")
    with pytest.raises(DataError, match=r"homes\.csv/below: Not a directory"):
        load(CsvTask(csv=table / "below", target="y"), seed=0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        load(CsvTask(csv=tmp_path / "pipe", target="y"), seed=0)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DataError, match="may not be read; check its permissions"):
        load(CsvTask(csv=table, target="y"), seed=0)


def test_damaged_and_ambiguous_parquet_is_refused(tmp_path):
    path = tmp_path / "homes.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match="is not a Parquet file"):
        load(ParquetTask(parquet=path, target="sold"), seed=0)
    pq.write_table(pa.table([[1, 2], [3, 4]], names=["a", "a"]), path)
    with pytest.raises(DataError, match="more than one column named 'a'"):
        load(ParquetTask(parquet=path, target="a"), seed=0)


def test_row_labels_of_pandas_in_parquet_are_no_column(tmp_path):
    table = frame().sample(frac=1, random_state=0)
    data = load_parquet(tmp_path, table)
    assert data.preprocessing["columns"] == ["area", "rooms", "city"]
    (note,) = noted(data)
    assert "a column without a name holds row labels: not learnt from" in note
    data.open_test()
    described = data.describe_test()
    assert described["row"].tolist() == [str(table.index[position]) for position in described["index"]]


def test_fingerprint_is_that_of_the_file(tmp_path):
    table = frame()
    first = load_csv(tmp_path, table).fingerprint
    assert load_csv(tmp_path, table).fingerprint == first
    table.loc[0, "area"] += 1
    assert load_csv(tmp_path, table).fingerprint != first


def encode(values, kind="auto"):
    return encode_targets(pd.Series(values), kind, "t", Reading("file", lambda row: f"row {row}"))


@pytest.mark.parametrize(
    ("values", "kind", "hint"),
    [
        (["b", "a", "b"], TaskKind.CLASSIFICATION, ""),
        ([True, False, True], TaskKind.CLASSIFICATION, ""),
        ([0, 1, 0], TaskKind.CLASSIFICATION, ""),
        ([0, 1, 2], TaskKind.CLASSIFICATION, "kind: regression"),
        (["0", "1", "2"], TaskKind.CLASSIFICATION, "kind: regression"),
        (["001", "002", "003"], TaskKind.CLASSIFICATION, ""),
        (list(range(20)), TaskKind.CLASSIFICATION, "kind: regression"),
        (list(range(21)), TaskKind.REGRESSION, "kind: classification"),
        (list(map(str, range(21))), TaskKind.REGRESSION, "kind: classification"),
        ([0.5, 1.0, 2.0], TaskKind.REGRESSION, ""),
        (["0.5", "1.0", "2.0"], TaskKind.REGRESSION, ""),
        ([0.0, 1.0, 2.0], TaskKind.REGRESSION, "kind: classification"),
        ([Decimal("2.50"), Decimal("3.00"), Decimal("4.00")], TaskKind.REGRESSION, ""),
        ([Decimal("2"), Decimal("3"), Decimal("4")], TaskKind.CLASSIFICATION, "kind: regression"),
    ],
)
def test_kind_of_target_follows_the_documented_rule(values, kind, hint):
    targets, classes, notes = encode(values)
    assert (TaskKind.CLASSIFICATION if classes else TaskKind.REGRESSION) == kind
    assert len(notes) == 1
    assert ("classes" if classes else "values") in notes[0]
    assert hint in notes[0]
    assert ("say `kind" in notes[0]) == bool(hint)
    assert targets.dtype == (np.int64 if classes else np.float64)


def test_kind_can_be_said_and_classes_sort_by_value():
    targets, classes, _ = encode([10.0, 9.0, 10.5, 9.0], "classification")
    assert (targets.tolist(), classes) == ([1, 0, 2, 0], ("9", "10", "10.5"))
    assert encode(["10", "9", "10.5", "9.0"], "classification")[1] == ("9", "10", "10.5")
    assert encode(["010", "9", "08"], "classification")[1] == ("010", "08", "9")
    assert encode([10, 9, 11], "regression")[0].tolist() == [10.0, 9.0, 11.0]
    with pytest.raises(DataError, match="t holds numbers but for 'x'"):
        encode(["1", "x"], "regression")
    with pytest.raises(DataError, match="t holds 'y', which is not a number"):
        encode(["y", "x"], "regression")
    with pytest.raises(DataError, match="further apart than float32"):
        encode([1.0, 1e39], "regression")


def test_integer_target_with_gaps_stays_a_class(tmp_path):
    table = frame(sold=[0.0, 1.0, None] * (ROWS // 3))
    table["sold"] = table["sold"].astype("Int64")
    assert load_csv(tmp_path, table).class_names == ("0", "1")
