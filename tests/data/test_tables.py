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
from harness.data.texts import with_missing
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
    assert (data.shape.inputs[0].sizes, data.shape.inputs[1].cardinalities) == ((2,), (4,))
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
    assert (data.shape.inputs[0].sizes, data.shape.inputs[1].cardinalities) == ((1,), (4,))
    (fitted,) = data.preprocessing["categorical"]
    assert (fitted["column"], fitted["categories"]) == ("rooms", ["1", "2", "3"])
    counts = np.bincount(data.train.inputs[1].ravel(), minlength=4)[1:]
    assert fitted["counts"] == counts.tolist()
    assert set(data.train.inputs[1].ravel()) == {0, 1, 2, 3}


def test_table_of_categories_alone_has_no_numeric_features(tmp_path):
    data = load_csv(tmp_path, frame(), drop=("area", "rooms"))
    assert data.shape.inputs[0].sizes == (0,)
    assert data.train.inputs[0].shape == (len(data.train), 0)


def test_boolean_column_with_gaps_is_categorical(tmp_path):
    data = load_csv(tmp_path, frame(lift=[True, None, False, True] * (ROWS // 4)), drop=("city",))
    (fitted,) = data.preprocessing["categorical"]
    assert (fitted["column"], fitted["categories"]) == ("lift", ["False", "True"])


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
    assert (data.shape.inputs[0].sizes, data.shape.inputs[1].cardinalities) == ((2,), (4,))


def test_identifying_integers_are_kept_with_a_note(tmp_path):
    data = load_csv(tmp_path, frame(extra=np.arange(ROWS) + 1000))
    assert data.shape.inputs[0].sizes == (3,)
    assert "different integer in every row; if it is an identifier, put it under `drop`" in noted(data)[0]


def test_a_text_asked_for_as_categorical_is_kept_though_all_differ(tmp_path):
    data = load_csv(tmp_path, frame(extra=[f"k{row}" for row in range(ROWS)]), categorical=("extra",))
    assert len(data.shape.inputs[1].cardinalities) == 2


def test_a_number_gone_wrong_is_named_with_its_line(tmp_path):
    area = [f"{row}.5" for row in range(ROWS)]
    area[41] = "twelve"
    refuse(
        tmp_path,
        frame(area=area),
        r"column 'area' holds numbers but for 'twelve' \(1 time\), first in line 43; .*`categorical`",
    )
    table = frame(area=area, city=['"two\nlines"'] + ["Bern", "Chur"] * (ROWS // 2 - 1) + ["Chur"])
    refuse(tmp_path, table, "'twelve'.* line 44")
    refuse(tmp_path, frame(area=area), "'twelve'.* row 42", read=load_parquet)


def test_numbers_gone_wrong_are_told_by_line_after_rows_without_target(tmp_path):
    table = frame(area=[str(row) for row in range(ROWS - 1)] + ["?"])
    table["sold"] = table["sold"].astype(object)
    table.loc[3, "sold"] = None
    refuse(tmp_path, table, f"'\\?' .* line {ROWS + 1}; .*missing: ")


def test_a_number_that_stands_for_a_missing_value_does_so_however_it_is_written(tmp_path):
    written = pd.Series(["-999", " -999.0", "-999.", "-999.5", "v1.0", ""])
    assert with_missing(written, ["-999", "v1"]).isna().tolist() == [True, True, True, False, False, True]
    numbers = [f"{row}.5" for row in range(ROWS - 2)]
    marked = load_csv(tmp_path, frame(area=["-999.0", "-999", *numbers]), missing=["-999"])
    blank = load_csv(tmp_path, frame(area=["", "", *numbers]))
    assert marked.preprocessing["numeric"] == blank.preprocessing["numeric"]


@pytest.mark.parametrize("written", ["2024-03-%02d", "2024-03-%02d 12:30", "2024-03-%02dT12:30:00+01:00"])
def test_columns_of_dates_are_refused(tmp_path, written):
    days = [written % (1 + row % 28) for row in range(ROWS)]
    refuse(tmp_path, frame(built=days), "column 'built' holds dates or times .*`dates: .'built'.`.*`drop`")
    assert load_csv(tmp_path, frame(built=days), drop=("built",)).shape.inputs[0].sizes == (2,)


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
    assert (data.shape.inputs[0].sizes, data.shape.inputs[1].cardinalities) == ((3,), (4,))


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


def rows(*columns, header="x,sold", separator=","):
    lines = [separator.join(map(str, values)) for values in zip(*columns, strict=True)]
    return "\n".join([header, *lines]) + "\n"


SOLD = ["yes", "no"] * (ROWS // 2)
NUMBERS = [f"{number / 7:.2f}" for number in range(ROWS)]


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "n/a", "NULL", "NaN"])
def test_words_for_missing_values_are_categories_and_classes_in_csv_and_parquet_alike(tmp_path, word):
    table = pd.DataFrame({"x": NUMBERS, "size": ["S", word, "L"] * (ROWS // 3), "sold": [word, "no"] * (ROWS // 2)})
    csv, parquet = load_csv(tmp_path, table), load_parquet(tmp_path, table)
    for data in (csv, parquet):
        assert set(data.class_names) == {word, "no"}
        assert word in data.preprocessing["categorical"][0]["categories"]
        assert sum(map(len, data.split_index.values())) == ROWS
        assert any(f"'{word}' ({ROWS // 2} times)" in note for note in noted(data) or data.notes)
    assert csv.preprocessing == parquet.preprocessing
    assert np.array_equal(csv.train.inputs[1], parquet.train.inputs[1])


def test_missing_words_can_be_said_for_all_columns_or_for_one(tmp_path):
    table = pd.DataFrame({"x": ["?", *NUMBERS[1:]], "size": ["?", "S", "L"] * (ROWS // 3), "sold": SOLD})
    everywhere = load_csv(tmp_path, table, missing=("?",))
    assert everywhere.preprocessing["categorical"][0]["categories"] == ["L", "S"]
    only_there = load_csv(tmp_path, table, missing={"x": ("?",)})
    assert only_there.preprocessing["categorical"][0]["categories"] == ["?", "L", "S"]
    refuse(tmp_path, table, r"holds numbers but for '\?'.*missing: \[\"\?\"\]")
    refuse(tmp_path, table, "missing 'y' is not a column", missing={"y": ("?",)})
    coded = pd.DataFrame({"x": [-999.0, *map(float, NUMBERS[1:])], "sold": SOLD})
    for read in (load_csv, load_parquet):
        assert read(tmp_path, coded, missing=(-999,)).preprocessing["numeric"][0]["median"] > 0


@pytest.mark.parametrize(
    ("written", "value", "told"),
    [
        (lambda number: f"{number:.2f}".replace(".", ","), 1, "decimal comma"),
        (lambda number: f"{1000 * number:,.2f}", 1000, "thousands"),
        (lambda number: f"{number:.2f}%", 1, "percent"),
        (lambda number: f"${number:.2f}", 1, "$"),
        (lambda number: f"{number:.2f} €", 1, "€"),
        (lambda number: f"{number:.2f} kg", 1, "kg"),
        (lambda number: f"({number:.2f})", -1, "accounting"),
        (lambda number: f"\u2212{number:.2f}", -1, ""),
        (lambda number: f"\u00a0{number:.2f}\u00a0", 1, ""),
    ],
)
def test_numbers_written_by_people_are_numbers_in_columns_and_targets(tmp_path, written, value, told):
    numbers = [2 + number / 7 for number in range(ROWS)]
    quoted = [f'"{written(number)}"' for number in numbers]
    table = rows(quoted, quoted, [number**2 for number in numbers], header="x,sold,z")
    data = load_csv(tmp_path, table)
    assert [fitted["column"] for fitted in data.preprocessing["numeric"]] == ["x", "z"]
    train = data.split_index["train"]
    read = np.array([round(number * (1000 if value == 1000 else 1), 2) for number in numbers]) * np.sign(value)
    assert data.true_targets("train").tolist() == pytest.approx(read[train].tolist())
    assert data.preprocessing["numeric"][0]["mean"] == pytest.approx(read[train].mean())
    assert any("column 'x'" in note and told in note for note in data.notes) or not told


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separators_are_found_and_told(tmp_path, separator, name):
    numbers = [text.replace(".", ",") for text in NUMBERS]
    content = rows(numbers, SOLD, header=f"x{separator}sold", separator=separator)
    data = load_csv(tmp_path, content)
    assert data.shape.inputs[0].sizes == (1,)
    assert any(f"separated by {name}" in note for note in data.notes)
    directed = load_csv(tmp_path, f"sep={separator}\n{content}")
    assert directed.preprocessing == data.preprocessing
    named = load_csv(tmp_path, content, separator=separator).preprocessing
    assert named == {**data.preprocessing, "separator": separator}


def test_a_separator_of_ones_own_and_a_title_above_the_header(tmp_path):
    content = rows(NUMBERS, SOLD, header="x~sold", separator="~")
    refuse(tmp_path, content, "the only one is 'x~sold'.*separator:")
    assert load_csv(tmp_path, content, separator="~").shape.inputs[0].sizes == (1,)
    plain = rows(NUMBERS, SOLD)
    refuse(
        tmp_path, f"Sales of 2024\n\n{plain}", "starts with 'Sales of 2024'.*title above the header. Remove the 1 lines"
    )
    refuse(tmp_path, f"Sales of 2024,\n{plain}", "title above the header")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08\x00rest", "packed with gzip; unpack it"),
        (b"PK\x03\x04rest", "zip archive or an Excel workbook"),
        (b"PAR1rest", "Parquet file; name it as `parquet:`"),
        ("x,sold\n1,2\n".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        ("x,sold\nä,2\n".encode("latin-1"), "not UTF-8 text"),
    ],
)
def test_files_of_other_formats_are_named(tmp_path, content, message):
    refuse(tmp_path, content, message)


def test_lines_that_end_early_are_told(tmp_path):
    lines = rows(NUMBERS, SOLD, NUMBERS[::-1], header="x,sold,z").splitlines()
    lines[7] = lines[7].rpartition(",")[0]
    data = load_csv(tmp_path, "\n".join(lines) + "\n")
    assert any("1 lines have fewer values than the header (the first is line 8)" in note for note in data.notes)


def test_codes_with_leading_zeros_are_text(tmp_path):
    codes = ["02134", "10027", "01010"] * (ROWS // 3)
    data = load_csv(tmp_path, rows(codes, ["001", "002"] * (ROWS // 2)))
    assert data.preprocessing["categorical"][0]["categories"] == ["01010", "02134", "10027"]
    assert data.class_names == ("001", "002")


def test_large_whole_numbers_stay_exact_or_are_refused(tmp_path):
    ids = pd.array([2**60 + row % 3 for row in range(ROWS)], dtype="Int64")
    ids[5] = pd.NA
    table = pd.DataFrame({"x": NUMBERS, "id": ids, "sold": ids})
    for read in (load_csv, load_parquet):
        refuse(tmp_path, table, "column 'id' holds .*beyond 2.53", read=read)
        data = read(tmp_path, table, categorical=("id",))
        assert data.class_names == tuple(str(2**60 + row) for row in range(3))
        assert data.preprocessing["categorical"][0]["categories"] == list(data.class_names)
        refuse(tmp_path, table, "target 'sold' holds .*beyond 2.53", read=read, drop=("id",), kind="regression")


@pytest.mark.parametrize("offset", [1.7e9, 2_460_000.5, -1e12])
def test_targets_far_from_zero_keep_their_differences(tmp_path, offset):
    values = offset + np.arange(ROWS) / 4
    table = pd.DataFrame({"x": np.sin(np.arange(ROWS)), "sold": values})
    for read in (load_csv, load_parquet):
        data = read(tmp_path, table)
        train = data.split_index["train"]
        assert data.true_targets("train").tolist() == values[train].tolist()
        assert np.diff(data.train.targets).tolist() == pytest.approx(np.diff(values[train]).tolist(), rel=1e-3)
        assert len(np.unique(data.train.targets)) == len(train)


def test_durations_clock_times_and_dates_cannot_be_predicted(tmp_path):
    for values in (["10:20", "11:30"], ["1 days 02:00:00", "2 days 01:00:00"], ["2024-03-01", "2024-03-02"]):
        refuse(tmp_path, rows(NUMBERS, values * (ROWS // 2)), "target 'sold' holds .*cannot be predicted")
    table = pd.DataFrame({"x": NUMBERS, "sold": pd.to_timedelta(np.arange(ROWS), unit="h")})
    refuse(tmp_path, table, "cannot be predicted", read=load_parquet)


def test_dates_become_calendar_numbers(tmp_path):
    days = pd.date_range("2023-01-30", periods=ROWS, freq="31h")
    table = pd.DataFrame({"day": days, "x": NUMBERS, "sold": SOLD})
    typed = load_parquet(tmp_path, table, dates=("day",))
    written = load_csv(tmp_path, table.assign(day=days.strftime("%m/%d/%Y %H:%M")), dates={"day": None})
    names = [fitted["column"] for fitted in typed.preprocessing["numeric"]]
    assert {"day: days", "day: weekday_sin", "day: hour_cos", "x"} <= set(names)
    assert "day: year" not in names  # one year: constant
    assert typed.preprocessing["numeric"] == written.preprocessing["numeric"]
    refuse(tmp_path, table, r"column 'day' holds dates or times.*dates: \['day'\]", read=load_parquet)
    refuse(tmp_path, table.assign(day=["soon", *days[1:].astype(str)]), "'soon' is not a date", dates=("day",))
    whole = table.assign(day=days.strftime("%Y%m%d").astype(int))
    refuse(tmp_path, whole, "as whole numbers", read=load_csv)
    refuse(tmp_path, whole, "as whole numbers", read=load_parquet)


def test_an_index_of_times_is_told_and_can_be_named(tmp_path):
    table = pd.DataFrame({"x": NUMBERS, "sold": SOLD}, index=pd.date_range("2024-01-01", periods=ROWS))
    data = load_parquet(tmp_path, table)
    assert any("row labels" in note and "dates" in note for note in data.notes)
    refuse(tmp_path, table.rename_axis("day"), r"column 'day' holds dates", read=load_parquet)


def test_groups_stay_in_one_part_and_order_puts_the_last_rows_into_test(tmp_path):
    table = frame(person=np.arange(ROWS) // 5, step=np.arange(ROWS)[::-1])
    grouped = load_csv(tmp_path, table, split={"group": "person"})
    parts = [set(table["person"][index]) for index in grouped.split_index.values()]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert "person" not in grouped.preprocessing["columns"]
    ordered = load_csv(tmp_path, table, split={"order": "step"})
    assert sorted(ordered.split_index["test"]) == list(range(9))
    assert sorted(ordered.split_index["validation"]) == list(range(9, 18))
    refuse(tmp_path, table, "split.order 'city' holds text|split.order 'city': ", split={"order": "city"})
    refuse(tmp_path, table, "split.group 'persn' is not a column; did you mean 'person'", split={"group": "persn"})
    refuse(tmp_path, table.assign(person=ROWS * [1]), "1 groups are fewer than one for each", split={"group": "person"})


def test_copies_are_told_or_kept_together(tmp_path):
    table = pd.concat([frame().iloc[:20]] * 3)
    data = load_csv(tmp_path, table)
    assert any("have the same inputs as a sample that is learnt from" in note for note in data.notes)
    together = load_csv(tmp_path, table, split={"duplicates": "together"})
    parts = [set(index % 20) for index in together.split_index.values()]
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_a_column_that_gives_the_target_away_is_told(tmp_path):
    values = np.sin(np.arange(ROWS)) + np.arange(ROWS) / 9
    for leak, told in (
        (values, "is equal to the target"),
        (3 * values - 1, "is the target but for a factor"),
        (np.exp(values), "has the order of the target"),
    ):
        data = load_csv(tmp_path, frame(leak=leak, sold=values))
        assert any("'leak'" in note and told in note for note in data.notes), told
    for leak in (["a", "b"] * (ROWS // 2), np.where(np.arange(ROWS) % 2, 9.5, 1) + np.arange(ROWS) / 99):
        data = load_csv(tmp_path, frame(leak=leak))
        assert any("'leak' alone tells the class" in note for note in data.notes)
    assert not any("alone tells" in note for note in load_csv(tmp_path, frame()).notes)


def test_a_test_file_of_ones_own_is_the_test_part(tmp_path):
    table, other = frame(), frame(area=np.arange(ROWS) * 1.5).iloc[:20]
    other.to_csv(tmp_path / "later.csv", index=False)
    data = load_csv(tmp_path, table, test={"csv": tmp_path / "later.csv"})
    assert data.test_size == 20
    assert data.split_index["test"].tolist() == list(range(20))
    assert len(data.train) + len(data.validation) == ROWS
    other.drop(columns="city").to_csv(tmp_path / "later.csv", index=False)
    refuse(tmp_path, table, "later.csv: has no column 'city'", test={"csv": tmp_path / "later.csv"})
    other.assign(area="?").to_csv(tmp_path / "later.csv", index=False)
    refuse(tmp_path, table, r"line 2 of .*later.csv", test={"csv": tmp_path / "later.csv"})


def test_values_far_outside_of_training_are_clipped_and_counted(tmp_path):
    table = frame()
    held = load_csv(tmp_path, table).split_index["test"]
    table.loc[held[0], "area"] = 1e9
    data = load_csv(tmp_path, table)
    assert data.beyond_training() == {"area": 1}
    assert np.abs(data.open_test().inputs[0]).max() < 10


def test_names_in_composed_and_decomposed_letters_are_one(tmp_path):
    table = frame().rename(columns={"area": "Gro\u0308\u00dfe", "city": " Stadt "})
    data = load_csv(tmp_path, table, drop=("Gr\u00f6\u00dfe", "Stadt"))
    assert data.preprocessing["columns"] == ["rooms"]


@pytest.mark.parametrize(
    "values", [["yes", "yes ", "no"], ["Yes", "yes", "no"], ["caf\u00e9", "cafe\u0301", "no"], ["a  b", "a b", "no"]]
)
def test_classes_and_categories_that_look_alike_are_told(tmp_path, values):
    data = load_csv(tmp_path, frame(sold=values * (ROWS // 3), extra=values * (ROWS // 3)))
    told = [note for note in data.notes if "differ only in case, blanks or the composition" in note]
    assert len(told) == 2
    assert len(data.class_names) == 3


def test_text_that_is_nearly_an_identifier_is_told(tmp_path):
    names = [f"v{row % 40}" for row in range(ROWS)]
    assert any("nearly an identifier" in note for note in load_csv(tmp_path, frame(extra=names)).notes)


def test_bytes_in_a_path_that_are_no_text_are_read_or_refused_with_the_fix(tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff")
    odd.mkdir()
    assert load_csv(odd, frame()).name == "homes"
    with (odd / "homes.parquet").open("wb") as file:
        frame().to_parquet(file)
    with pytest.raises(DataError, match=r"has bytes in its path that are not UTF-8; rename it, or its folder$"):
        load(ParquetTask(parquet=odd / "homes.parquet", target="sold"), seed=0)


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_row_labels_of_a_saved_frame_are_not_learnt_from(tmp_path, name):
    table = pd.DataFrame({name: [f"r{row}" for row in range(ROWS)], "x": NUMBERS, "sold": SOLD})
    data = load_csv(tmp_path, table)
    assert data.preprocessing["columns"] == ["x"]
    data.open_test()
    described = data.describe_test()
    assert described["row"].tolist() == [f"r{index}" for index in described["index"]]
