"""CSV for people: nothing in it is a formula, and taking one apostrophe away gives every text back."""

import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.frames import CSV, write_bench
from harness.bench.rows import Case, Row
from harness.records import Outcome, TrialRecord
from harness.spec import parameters, parse_spec
from harness.store import to_csv, trials_frame

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\t\r\n"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
RISKY = st.builds("".join, st.tuples(st.sampled_from(["", "'", "''"]), st.sampled_from(list(SIGNS)), TEXTS))
EXAMPLES = st.sampled_from(["-1", "+.5", "-1e3", "1", "'-1", "=1+1", "'quoted'", "a\r=1+1", "a\r\nb"])


def cells(text):
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    return head, rows


@settings(max_examples=40)
@given(st.lists(TEXTS | RISKY | EXAMPLES, min_size=1))
def test_no_cell_is_a_formula_and_every_text_comes_back(texts):
    _, rows = cells(to_csv(pd.DataFrame({"number": range(len(texts)), "text": pd.Series(texts, dtype="string")})))
    assert [int(number) for number, _ in rows] == list(range(len(texts)))
    for (_, cell), text in zip(rows, texts, strict=True):
        if cell and cell[0] in SIGNS:
            float(cell)  # a number, which a spreadsheet reads as one
        assert re.sub(rf"^'(?='*[{re.escape(SIGNS)}])", "", cell) == text.replace("\r\n", "\n").replace("\r", "\n")


def test_numbers_stay_numbers_and_what_is_missing_stays_empty():
    frame = pd.DataFrame({"x": [-1.5, float("nan")], "n": pd.array([-3, None], dtype="Int64"), "b": [True, False]})
    frame = frame.assign(t=pd.array(["-3", None], dtype="string"))
    assert to_csv(frame) == "x,n,b,t\n-1.5,-3,True,-3\n,,False,\n"


@pytest.mark.parametrize("sign", list(SIGNS))
def test_names_of_columns_are_no_formulas_either(sign):
    head, _ = cells(to_csv(pd.DataFrame({f"{sign}cmd|' /C calc'!A0": [1]})))
    assert head == [f"'{sign}cmd|' /C calc'!A0".replace("\r", "\n")]


def test_a_choice_and_a_reason_that_look_like_formulas_stand_in_the_trials_as_text():
    space = """
task: digits
space: {architecture: {mlp: {activation: [relu, gelu]}}, batch_size: [32, 64]}
"""
    choices = list(parameters(parse_spec(space, origin="x").group))
    attack = '=HYPERLINK("http://example.org")'
    record = TrialRecord(
        trial=0,
        outcome=Outcome.CRASHED,
        reason=attack,
        candidate={},
        params={"architecture.mlp.activation": "@SUM(A1)"},
    )
    frame = trials_frame([record], choices)
    back = pd.read_csv(io.StringIO(to_csv(frame)))
    assert list(back.columns) == list(frame.columns)
    assert back["reason"].item() == f"'{attack}"
    assert back["param.architecture.mlp.activation"].item() == "'@SUM(A1)"
    assert back["trial"].item() == 0


def test_the_rows_of_a_benchmark_are_written_the_same_way(tmp_path):
    write_bench(tmp_path, [Row(case=Case(bench="matmul"), status="failed", note="+cmd")], {"state": "complete"})
    assert pd.read_csv(tmp_path / CSV)["note"].item() == "'+cmd"
