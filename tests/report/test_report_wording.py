from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.wording import clipped, duration, flattened, goal, number, score, setting, short_names, whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "\N{EN DASH}"),
        (None, "\N{EN DASH}"),
        (math.inf, "∞"),
        (0.0, "0"),
        (1234567.0, "1,234,567"),
        (0.91234567, "0.9123"),
        (12.3456, "12.35"),
        (999.96, "1000"),
        (12345.678, "12,346"),
        (0.00012345, "1.23e-04"),
        (-3.5e22, "-3.50e+22"),
    ],
)
def test_numbers_have_four_digits_and_what_was_not_measured_is_never_zero(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.9, "0.9000"), (1.0, "1.0000"), (0.0, "0.0000"), (1e-5, "1.00e-05"), (4e6, "4,000,000")]
)
def test_scores_line_up_on_four_decimals(value, text):
    assert score(value) == text


def test_objectives_are_written_as_scores_or_as_costs():
    assert goal("f1_macro", 0.5) == "0.5000"
    assert goal("parameters", 2000.0) == "2,000"


def test_counts_have_no_decimals():
    assert whole(12345.0) == "12,345"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.123, "0.12 s"),
        (59.96, "60.0 s"),
        (300, "5 min 00 s"),
        (119.99, "120.0 s"),
        (7200, "2 h 00 min"),
        (math.nan, "\N{EN DASH}"),
    ],
)
def test_durations_are_in_the_unit_a_reader_would_choose(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (1024, "1024"),
        (0.000123456789, "0.000123457"),
        ([1, "a"], "1, a"),
        ([], "\N{EN DASH}"),
        (None, "\N{EN DASH}"),
    ],
)
def test_settings_are_written_by_type(value, text):
    assert setting(value) == text


@settings(max_examples=25)
@given(st.text(), st.integers(2, 40))
def test_clipped_text_is_one_line_within_its_limit(text, limit):
    line = clipped(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


def test_nested_facts_become_dotted_paths():
    facts = {"cpu": {"isa": ["amx", "avx"], "cores": 2}, "gpus": [{"name": "a"}, {"name": "b"}], "none": {}}
    assert list(flattened(facts)) == [
        ("cpu.isa", "amx, avx"),
        ("cpu.cores", "2"),
        ("gpus.0.name", "a"),
        ("gpus.1.name", "b"),
        ("none", "\N{EN DASH}"),
    ]


def test_short_names_stay_apart():
    names = short_names(["batch_size", "architecture.mlp.depth", "x.a.lr", "y.a.lr"])
    assert names == {
        "batch_size": "batch_size",
        "architecture.mlp.depth": "mlp.depth",
        "x.a.lr": "x.a.lr",
        "y.a.lr": "y.a.lr",
    }
