from __future__ import annotations

import random
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.numbers import Numbers, Style, Unclear, decimal_evidence, looks_missing, read_numbers

COMMA, POINT = frozenset(","), frozenset(".")
INF = float("inf")


def text(*values):
    return pd.Series(values, dtype="str")


def read(*values, **options):
    return read_numbers(text(*values), **options)


READ = [
    # plain
    (["1", "-2", "+3"], [1, -2, 3], ""),
    (["1.5", ".5", "5.", "1e3", "-2.5E-3", "0.123", "0", "-0"], [1.5, 0.5, 5, 1000, -0.0025, 0.123, 0, 0], ""),
    ([" 1.5 ", "\u00a02", "3\u202f", "\t4"], [1.5, 2, 3, 4], ""),
    (["1.234", "2.345"], [1.234, 2.345], ""),
    (["1.200", "1500"], [1.2, 1500], ""),
    (["inf", "-Infinity", "1"], [INF, -INF, 1], ""),
    # signs
    (["\u22125", "\u20137", "8-"], [-5, -7, -8], ""),
    (["(1,234.50)", "7"], [-1234.5, 7], "thousands separated by ',', accounting negatives"),
    # decimal commas and thousands
    (["1,5", "2", ",5", "1,5e3"], [1.5, 2, 0.5, 1500], "decimal commas"),
    (["0,123", "1,234"], [0.123, 1.234], "decimal commas"),
    (["1234,567", "1,234"], [1234.567, 1.234], "decimal commas"),
    (["1.234,5", "1.234"], [1234.5, 1234], "thousands separated by '.', decimal commas"),
    (["1.234.567", "1.234"], [1234567, 1234], "thousands separated by '.'"),
    (["1,234,567", "1,234"], [1234567, 1234], "thousands separated by ','"),
    (["1,234.5", "2,345"], [1234.5, 2345], "thousands separated by ','"),
    (["1.5", "2,345"], [1.5, 2345], "thousands separated by ','"),
    (["12,34,567", "1,23,456.5"], [1234567, 123456.5], "thousands separated by ','"),
    (["950", "1,200"], [950, 1200], "thousands separated by ','"),
    (["1 234", "12\u00a0345", "1\u2009234\u202f567"], [1234, 12345, 1234567], "thousands separated by blanks"),
    (["1 234,567", "1,234"], [1234.567, 1.234], "thousands separated by blanks, decimal commas"),
    (["1'234", "1\u2019234.5"], [1234, 1234.5], "thousands separated by apostrophes"),
    # currencies
    (["$9.50", "-$5", "$-5", "($5)", "$(5.00)", "7"], [9.5, -5, -5, -5, -5, 7], "$ left out, accounting negatives"),
    (["5 €", "1.234,50 €"], [5, 1234.5], "the currency sign € left out"),
    (["CHF 5", "chf 6", "7CHF"], [5, 6, 7], "the currency sign CHF left out"),
    (["R$ 1.234,00", "R$ 5,00"], [1234, 5], "the currency sign R$ left out"),
    (["Rs.500", "Rs. 600"], [500, 600], "the currency sign Rs left out"),
    (["5 kr", "6 kr."], [5, 6], "the currency sign kr left out"),
    (["5 Kč", "6 Kč"], [5, 6], "the currency sign Kč left out"),
    # units
    (["15%", "16 %", "(2%)"], [15, 16, -2], "percent signs left out, accounting negatives"),
    (["1‰", "2‰"], [1, 2], "per mille signs left out"),
    (["12 kg", "13kg"], [12, 13], "the unit 'kg' left out"),
    (["30 °C", "-2 °C"], [30, -2], "the unit '°C' left out"),
    (["5 km/h", "6 km/h"], [5, 6], "the unit 'km/h' left out"),
    (["5 m²", "6 m²"], [5, 6], "the unit 'm²' left out"),
    (["8 cyl", "6 cyl"], [8, 6], "the unit 'cyl' left out"),
    (["1.2k", "3k"], [1.2, 3], "the unit 'k' left out"),
    (["$1.2M", "$3M"], [1.2, 3], "the currency sign $ left out, the unit 'M' left out"),
    (["12 wugs", "13 wugs"], [12, 13], "the unit 'wugs' left out"),
]


@pytest.mark.parametrize(("values", "expected", "told"), READ)
def test_numbers_are_read(values, expected, told):
    numbers = read(*values, None)
    assert isinstance(numbers, Numbers)
    assert np.array_equal(numbers.values, [*expected, np.nan], equal_nan=True)
    assert numbers.remark.endswith(told)
    assert bool(numbers.remark) == bool(told)


CATEGORIES = [
    *(["Q1", "Q2"], ["No. 5", "No. 6"], ["A12", "A13"], ["12A", "12B"], ["12A", "12M", "1C"]),
    *(["1st", "2nd"], ["4th", "5th"]),
    *(["1/2", "3/4"], ["10-20", "20-30"], ["10\u201320"], ["3:1"], ["1.2.3", "1.2.4"], ["0x1F", "0xff"], ["10:30"]),
    *(["2024-03-14"], ["1½", "2½"], ["<18", "18-25", ">65"], ["02134", "10027"], ["007"], [" 007", "1"], ["00", "1.5"]),
    *(
        ["nan", "nan"],
        ["inf"],
        ["\u0663", "\u0664"],
        ["\uff11\uff12"],
        ["1_000"],
        ["red", "green", "3"],
        ["1\n2"],
        ["1\n234"],
        ["1\t234"],
        ["1,2,3"],
        ["12 34"],
    ),
    *(["10 AM", "11 AM"], ["x" * 10_000], [" "], ["0 123"], ["--5"], ["(-5)"], ["$5€"], [None, None], []),
]


@pytest.mark.parametrize("values", CATEGORIES)
def test_what_is_no_number_is_left_to_be_a_category(values):
    assert read(*values) is None


def test_leading_zeros_make_a_code_of_any_column():
    assert read(*map(str, range(100)), "007") is None
    assert read("0.5", "0", "-0", "0e3") is not None


UNCLEAR = [
    (
        ["1", "2", "?", "?"],
        2,
        r"holds numbers but for '\?' \(2 times\), first in line 2; if it stands.*missing: \[\"\?\"\]",
    ),
    (["1", "NA", "2", "n/a"], 1, r"for 'NA', 'n/a' \(2 times\).*if they stand.*`missing: \[\"NA\", \"n/a\"\]`"),
    (["1", "2", "#N/A"], 2, "missing: "),
    (["1", "abc"], 1, r"but for 'abc' \(1 time\), first in line 1; correct it, or put the column under `categorical`"),
    (["1", "2", "3", "4", "a", "b", "c", "d"], 4, "for 'a', 'b', 'c' and 1 more"),
    (["12 kg", "13 kg", "?"], 2, r"holds numbers but for '\?'"),
    (["1", "2", "12A", "3"], 2, "but for '12A'"),
    (["12 wugs", "13 wugs", "14"], 0, "holds '12 wugs' and '14', which are not in one unit"),
    (["1", "<5"], 1, "but for '<5'.*write numbers"),
    (["<5", "<6", "≤7", "~8", ">100"], 0, "holds numbers but for '<5'"),
    ([*map(str, range(20)), *["?"] * 100], 20, r"holds numbers but for '\?' \(100 times\)"),
    (["1.5", "1,5"], 0, "holds '1.5' and '1,5', of which one has a decimal comma"),
    (["1.234", "1,234"], 0, "of which one has a decimal comma"),
    (["1,234.5", "1.234,5"], 0, "of which one has a decimal comma"),
    (
        ["54,350", "12,000"],
        0,
        '\'54,350\', whose comma may mark decimals or thousands.*`decimal: ","` or `thousands: ","`',
    ),
    (["1,200", "1500"], 0, "whose comma may mark"),
    (["950", "1.200"], 1, "whose point may mark decimals or thousands"),
    (["1'234", "1 234"], 0, "different marks between thousands"),
    (["$5", "€6"], 0, "holds '\\$5' and '€6', which are not in one currency"),
    (["15%", "16"], 0, "holds '15%' and '16', which are not in one unit"),
    (["15%", "16‰"], 0, "not in one unit"),
    (["12 kg", "800 g"], 0, "holds '12 kg' and '800 g', which are not in one unit"),
    (["1.2k", "3M"], 0, "not in one unit"),
    (["1.2k", "300"], 0, "not in one unit"),
    (["1", str(2**53 + 1)], 1, "beyond 2\\^53 such as '9007199254740993', which cannot be told apart"),
]


@pytest.mark.parametrize(("values", "row", "message"), UNCLEAR)
def test_what_is_unclear_is_named_with_what_to_do(values, row, message):
    unclear = read(None, *values)
    assert isinstance(unclear, Unclear)
    assert unclear.row == row + 1
    said = unclear.message(lambda row: f"line {row - 1}")
    assert re.search(message, said), said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (["1.234", "2.345"], {"hints": COMMA}, [1234, 2345]),
        (["1.234", "2.345"], {"hints": POINT}, [1.234, 2.345]),
        (["1.234", "2.345"], {"hints": COMMA | POINT}, [1.234, 2.345]),
        (["950", "1.200"], {"hints": POINT}, [950, 1.2]),
        (["1,234", "2,345"], {"hints": COMMA}, [1.234, 2.345]),
        (["1,234", "2,345"], {"hints": POINT}, [1234, 2345]),
        (["950", "1,200"], {"hints": COMMA}, [950, 1.2]),
        (["1,234", "1.5"], {"hints": COMMA}, [1234, 1.5]),  # the column's own proof comes first
        (["1,234", "2,345"], {"style": Style(decimal=",")}, [1.234, 2.345]),
        (["1,234", "2,345"], {"style": Style(thousands=",")}, [1234, 2345]),
        (["1,234", "2,345"], {"style": Style(thousands=" ")}, [1.234, 2.345]),
        (["1,234", "2,345"], {"style": Style(decimal="."), "hints": COMMA}, [1234, 2345]),
        (["1.234", "2.345"], {"style": Style(decimal=",")}, [1234, 2345]),
        (["1.234", "2.345"], {"style": Style(decimal=".")}, [1.234, 2.345]),
        (["1.234,5", "2"], {"style": Style(decimal=",", thousands=".")}, [1234.5, 2]),
    ],
)
def test_the_user_and_other_columns_settle_what_is_open(values, options, expected):
    numbers = read(*values, **options)
    assert isinstance(numbers, Numbers)
    assert numbers.values.tolist() == expected


def test_open_commas_stay_open_where_other_columns_disagree():
    assert isinstance(read("1,234", "2,345", hints=COMMA | POINT), Unclear)
    assert isinstance(read("950", "1,200", hints=COMMA | POINT), Unclear)


@pytest.mark.parametrize(
    ("value", "style", "key"),
    [
        ("1,5", Style(decimal="."), 'decimal: "."'),
        ("1.5", Style(decimal=","), 'decimal: ","'),
        ("1.5", Style(thousands="."), 'thousands: "."'),
        ("1,5", Style(thousands=","), 'thousands: ","'),
        ("1 234", Style(thousands="."), 'thousands: "."'),
        ("1,234", Style(decimal=".", thousands="'"), 'thousands: "\'"'),
    ],
)
def test_what_does_not_fit_the_style_is_refused(value, style, key):
    unclear = read("1", value, style=style)
    assert isinstance(unclear, Unclear)
    assert f"holds {value!r}, which does not fit `{key}`" in unclear.why
    assert unclear.row == 1


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        (["1.5", "2"], POINT),
        (["1,5", "2"], COMMA),
        (["$1,234,567"], POINT),
        (["1.234,5 €", "?"], COMMA),
        (["1.234", "2"], frozenset()),
        (["1,234", "2"], frozenset()),
        (["1", "2"], frozenset()),
        (["1.5", "1,5"], frozenset()),
        (["1,5", "red", "green"], frozenset()),
        ([None], frozenset()),
    ],
)
def test_evidence_of_a_column(values, marks):
    assert decimal_evidence(text(*values)) == marks


def test_integers_are_those_written_so():
    assert read("1", "2").integers
    assert read("1,000", "950").integers
    assert not read("1.0", "2").integers
    assert not read("1e3", "2").integers
    assert not read("5,0", "2").integers


def test_words_for_missing_values_are_counted():
    values = text(
        "?", "NA", "N/A", "n/a", "None", "null", "nan", "-", "--", ".", "missing", "\\N", "#N/A", "?", " ", "7", "a"
    )
    assert looks_missing(values) == {**dict.fromkeys(values[:15], 1), "?": 2}


def test_texts_of_object_type_are_read():
    assert read_numbers(pd.Series(["1,5", None, np.nan], dtype=object)).remark == "decimal commas"


def grouped(value, comma, point):
    return f"{value:,.2f}".translate({ord(","): comma, ord("."): point})


STYLES = {
    "plain": (lambda x: repr(x), Style()),
    "comma": (lambda x: repr(x).replace(".", ","), Style(decimal=",")),
    "english": (lambda x: grouped(x, ",", "."), Style(thousands=",")),
    "german": (lambda x: grouped(x, ".", ","), Style(thousands=".")),
    "french": (lambda x: grouped(x, "\u202f", ","), Style()),
    "swiss": (lambda x: grouped(x, "\u2019", "."), Style()),
    "dollars": (lambda x: f"-${-x:,.2f}" if x < 0 else f"${x:,.2f}", Style()),
    "accounting": (lambda x: f"({-x:,.2f})" if x < 0 else f"{x:,.2f}", Style()),
    "euros": (lambda x: grouped(x, ".", ",") + " €", Style()),
    "kilograms": (lambda x: f"{x:.2f} kg", Style()),
    "percent": (lambda x: f"{x:.2f}%", Style()),
}
floats = st.lists(st.floats(-1e12, 1e12).map(lambda x: round(x, 2)), min_size=1, max_size=10)


@given(st.sampled_from(list(STYLES)), floats, st.randoms(use_true_random=False))
def test_floats_come_back_in_every_style_whatever_the_order_of_rows(name, values, rng: random.Random):
    write, style = STYLES[name]
    texts = [write(value) for value in values]
    numbers = read(*texts, style=style)
    assert numbers.values.tolist() == values
    order = rng.sample(range(len(values)), len(values))
    assert read(*(texts[row] for row in order), style=style).values.tolist() == [values[row] for row in order]


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=10), st.sampled_from(["d", ",d"]))
def test_integers_come_back_exactly(values, form):
    numbers = read(*(format(value, form) for value in values), style=Style(decimal="."))
    assert numbers.integers
    assert numbers.values.tolist() == values


@given(st.integers(2**53, 2**70))
def test_no_large_integer_changes_in_silence(value):
    numbers = read(str(value), "1")
    assert isinstance(numbers, Unclear) if int(float(value)) != value else int(numbers.values[0]) == value


NUMBERLIKE = st.text("0123456789.,'- $€%()eEkg?", min_size=1, max_size=9)


@given(st.lists(NUMBERLIKE | st.text(max_size=8), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(values, rng: random.Random):
    order = rng.sample(range(len(values)), len(values))
    one, other = read(*values), read(*(values[row] for row in order))
    assert type(one) is type(other)
    if isinstance(one, Numbers):
        assert np.array_equal(one.values[order], other.values)
        assert one.integers == other.integers
    assert decimal_evidence(text(*values)) == decimal_evidence(text(*(values[row] for row in order)))


def test_large_columns_are_read():
    values = np.random.default_rng(0).normal(0, 1e4, 2_000).round(2)
    for name, (write, style) in STYLES.items():
        assert np.array_equal(read(*map(write, values.tolist()), style=style).values, values), name
