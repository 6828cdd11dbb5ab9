from __future__ import annotations

import datetime
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.dates import DateError, calendar, integers_look_like_dates, looks_like_dates, read_dates


def texts(*values):
    return pd.Series(list(values), dtype=object)


FORMS = {
    "ISO dates": ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
    "dates": ["%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%y", "%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M"],
    "dates with the month in words": ["%b %d, %Y", "%d %B %Y", "%d-%b-%y", "%a %b %d %Y", "%A, %B %d, %Y"],
}
KINDS = [(kind, form) for kind, forms in FORMS.items() for form in forms]


@pytest.mark.parametrize(("kind", "form"), KINDS, ids=[form for _, form in KINDS])
@settings(max_examples=25)
@given(moments=st.lists(st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2068, 12, 31)), max_size=6))
def test_a_date_in_any_form_is_seen_and_read_back(kind, form, moments):
    both_orders = [datetime.datetime(2024, 3, 28), datetime.datetime(2023, 12, 31)]
    moments = [moment.replace(microsecond=0) for moment in (*moments, *both_orders)]
    written = [moment.strftime(form) for moment in moments]
    assert looks_like_dates(texts(*written, None)) == kind
    expected = [datetime.datetime.strptime(text, form) for text in written]
    assert read_dates(texts(*written, None), None).tolist()[:-1] == expected
    assert read_dates(texts(*written), form).tolist() == expected


@pytest.mark.parametrize(
    ("written", "kind", "meant"),
    [
        ("2024-W11", "ISO weeks", "2024-03-11"),
        ("2024-W11-4", "ISO weeks", "2024-03-14"),
        ("2024-03", "months", "2024-03-01"),
        ("03/2024", "months", "2024-03-01"),
        ("2024Q2", "quarters", "2024-04-01"),
        ("Q4 2024", "quarters", "2024-10-01"),
        ("10:20", "clock times", "2000-01-01 10:20"),
        ("11:30 PM", "clock times", "2000-01-01 23:30"),
        ("2024-03-14T10:20:30Z", "ISO dates", "2024-03-14 10:20:30"),
        ("2024-03-14 10:20+02:00", "ISO dates", "2024-03-14 08:20"),
        ("March 2024", "dates with the month in words", "2024-03-01"),
        ("14th March 2024", "dates with the month in words", "2024-03-14"),
        ("1 days 02:03:04", "durations", None),
        ("P1DT2H", "durations", None),
        ("14. März 2024", "dates with the month in words", None),
    ],
)
def test_other_forms(written, kind, meant):
    assert looks_like_dates(texts(written)) == kind
    if meant is None:
        with pytest.raises(DateError, match="is not a date"):
            read_dates(texts(written), None)
    else:
        assert read_dates(texts(written), None).tolist() == [pd.Timestamp(meant)]


@pytest.mark.parametrize(
    "written",
    ["12", "1.5", "1.2.3", "555-12-1234", "10-20", "Corolla 2015", "13/13/2024", "a", "Q1", "2024", "32.01.2024"],
)
def test_what_is_no_date(written):
    assert looks_like_dates(texts(written)) == ""


def test_one_bad_value_does_not_hide_that_a_column_holds_dates():
    column = texts("2024-03-14", "2024-03-15", "unknown", "2024-03-17")
    assert looks_like_dates(column) == "ISO dates"
    with pytest.raises(DateError, match="'unknown' is not a date") as raised:
        read_dates(column, None)
    assert raised.value.row == 2


def test_the_order_of_day_and_month_must_show():
    with pytest.raises(DateError, match=r"'3/4/2024' may have the day first.*dates: \{COLUMN"):
        read_dates(texts("3/4/2024", "5/6/2024"), None)
    with pytest.raises(DateError, match="'14/3/2024' has the day first and '3/14/2024' the month"):
        read_dates(texts("14/3/2024", "3/14/2024"), None)
    assert read_dates(texts("3.4.2024"), None).tolist() == [pd.Timestamp(2024, 4, 3)]
    with pytest.raises(DateError, match=r"'2024' is not a date in the form"):
        read_dates(texts("2024"), "%d/%m/%Y")


def test_whole_numbers_are_dates_where_all_of_them_are():
    days = np.array([20240229, 20231231, 19991130])
    assert integers_look_like_dates(days)
    assert not integers_look_like_dates(np.append(days, 20240230))
    assert not integers_look_like_dates(days[:2])
    assert not integers_look_like_dates(np.array([1, 2, 3]))
    assert read_dates(pd.Series(days), None).tolist()[0] == pd.Timestamp(2024, 2, 29)
    assert read_dates(pd.Series([20240229, None], dtype="Int64"), None).isna().tolist() == [False, True]


def test_typed_dates_lose_their_zone_in_utc():
    aware = pd.Series(pd.date_range("2024-01-01", periods=2, tz="Europe/Berlin"))
    assert read_dates(aware, None).tolist() == [pd.Timestamp("2023-12-31 23:00"), pd.Timestamp("2024-01-01 23:00")]
    assert read_dates(texts(datetime.date(2024, 1, 2), None), None).isna().tolist() == [False, True]


def test_the_calendar_goes_round():
    moments = pd.Series(pd.to_datetime(["2024-03-14 06:00", "2024-12-31 18:00", None])).astype("datetime64[us]")
    numbers = calendar(moments, datetime.datetime(2024, 3, 1))
    first = numbers.iloc[0]
    assert first["year"] == 2024
    assert first["days"] == 13.25
    assert (first["hour_sin"], first["hour_cos"]) == pytest.approx((1.0, 0.0), abs=1e-12)
    assert first["month_sin"] == pytest.approx(math.sin(2 * math.pi * 2 / 12))
    assert first["weekday_cos"] == pytest.approx(math.cos(2 * math.pi * 3 / 7))
    assert numbers.iloc[2].isna().all()
    assert (numbers.filter(like="_sin") ** 2).add(0).iloc[1].tolist() == pytest.approx(
        (1 - numbers.filter(like="_cos").iloc[1] ** 2).tolist()
    )
