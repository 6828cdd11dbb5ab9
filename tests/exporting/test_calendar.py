"""The calendar in torch is that of pandas, for every date that training may hold."""

import numpy as np
import pandas as pd
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.dates import calendar as of_pandas
from harness.exporting.calendar import calendar
from harness.exporting.forms.table import MISSING_DATE

FIRST = "1999-12-31T23:59:59.500000"
MOST = int(np.datetime64("9999-12-31T23:59:59.999999", "us").astype(np.int64))
LEAST = int(np.datetime64("0001-01-01", "us").astype(np.int64))
EDGES = [
    "1600-02-29",
    "1900-02-28T23:59:59.999999",
    "1900-03-01",
    "1969-12-31T23:59:59.999999",
    "2000-12-31",
    "2100-03-01",
]


def _same(moments):
    frame = of_pandas(pd.Series(moments.view("datetime64[us]")), pd.Timestamp(FIRST).to_pydatetime())
    first = torch.tensor([int(np.datetime64(FIRST, "us").astype(np.int64))])
    found = calendar(torch.from_numpy(moments)[:, None], first)
    assert list(found) == list(frame.columns)
    for name, values in found.items():
        np.testing.assert_allclose(values[:, 0].numpy(), frame[name], rtol=1e-13, atol=1e-12, err_msg=name)


@given(st.lists(st.integers(LEAST, MOST), min_size=1, max_size=50))
@settings(max_examples=15)
def test_any_moment_has_the_numbers_of_pandas(moments):
    _same(np.array(moments))


def test_the_days_around_leap_years_do():
    edges = np.array(EDGES, "datetime64[us]")
    _same(np.concatenate([edges + np.timedelta64(hours, "h") for hours in (-24, 0, 1, 24)]).view(np.int64))


def test_a_missing_date_is_what_numpy_has_for_it():
    assert pd.Series([pd.NaT], dtype="datetime64[us]").to_numpy().astype(np.int64)[0] == MISSING_DATE
