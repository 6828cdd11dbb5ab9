"""New values are read one by one: no value changes what another one comes to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.columns import ColumnReading
from harness.data.numbers import Odd, read_known
from harness.data.reread import Unlike, reread
from harness.errors import DataError

NUMBERS = ["1", "-2.5", "+3", ".5", "7.", "1e5", "1,234.5", "007", " 8 ", "1234567890.25", "3 kg", "4kg", "(5)"]
TEXTS = st.sampled_from([*NUMBERS, None])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)), st.booleans())
def test_plain_numbers_are_read_to_the_bit(values, comma):
    texts = [repr(value).replace(".", ",") if comma else repr(value) for value in values]
    found = read_known(pd.Series(texts, dtype="str"), "," if comma else ".", "")
    assert found.tolist() == values


@given(st.lists(TEXTS, min_size=1))
def test_a_number_is_the_same_alone_and_among_others(texts):
    together = read_known(pd.Series(texts, dtype="str"), ".", "kg")
    alone = np.concatenate([read_known(pd.Series([text], dtype="str"), ".", "kg") for text in texts])
    np.testing.assert_array_equal(together, alone)
    expected = {"1,234.5": 1234.5, "3 kg": 3.0, "4kg": 4.0, "(5)": -5.0, None: np.nan}
    np.testing.assert_array_equal(together, [expected.get(text) or float(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nan", "holds 'nan'"),
        ("-inf", "holds '-inf', an infinite value"),
        ("1e400", "holds '1e400', an infinite value"),
        ("12 m", "holds '12 m', in 'm' and not in 'kg'"),
        ("1,5", "holds '1,5', which does not fit its decimal mark '.'"),
        ("9007199254740993", "holds '9007199254740993', beyond 2^53"),
    ],
)
def test_the_first_text_that_is_no_such_number_is_told(text, what):
    found = read_known(pd.Series(["1", "2", text, "3", text]), ".", "kg")
    assert isinstance(found, Odd)
    assert found.row == 2
    assert found.what.startswith(what)


@pytest.mark.parametrize(
    ("column", "how", "row"),
    [
        (["1", "2", "two"], ColumnReading("numbers"), 2),
        ([1.0, np.inf], ColumnReading("numbers"), 1),
        (pd.Series([1.0, 2.0, "3", {}], dtype=object), ColumnReading("numbers"), 3),
        (["1.2.2024", "x", "1.3.2024"], ColumnReading("dates", day_first=True), 1),
        (["1/2/2024", "1/31/2024"], ColumnReading("dates", day_first=True), 1),
        (["1/31/2024", "31/1/2024 12:30"], ColumnReading("dates", day_first=False), 1),
    ],
)
def test_a_value_that_does_not_fit_has_its_row(column, how, row):
    with pytest.raises(Unlike, match=f"in row {row + 1}; ") as raised:
        reread(pd.Series(column, name="c"), how)
    assert raised.value.row == row
    assert f"in line {row + 2}; " in str(raised.value.at(lambda row: f"line {row + 2}"))


def test_what_no_single_value_can_say_is_refused():
    with pytest.raises(DataError, match="was numeric in training, and holds datetime64"):
        reread(pd.Series(pd.to_datetime(["2024-01-01"]), name="c"), ColumnReading("numbers"))
    with pytest.raises(DataError, match=r"held dates in training: .* order of day and month"):
        reread(pd.Series(["13/01/2024"], name="c"), ColumnReading("dates"))


def test_numbers_of_two_types_in_one_column_are_numbers():
    assert reread(pd.Series([1, 2.5, None], dtype=object), ColumnReading("numbers")).tolist()[:2] == [1.0, 2.5]


def test_categories_keep_their_writing_and_dates_their_places():
    how = ColumnReading("categories", missing=("?",))
    assert reread(pd.Series(["001", "1", "?", " ", "001"]), how).tolist() == ["001", "1", None, None, "001"]
    days = reread(pd.Series(["2024-01-02", None, "2024-01-01", "2024-01-02"]), ColumnReading("dates"))
    assert days.astype(str).tolist() == [
        f"2024-01-{day}T00:00:00.000000" if day else "NaT" for day in ("02", "", "01", "02")
    ]
