import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.spec.reader import MAX_BYTES, MAX_DEPTH, read_yaml


def test_lines_are_known_for_every_key():
    document = read_yaml("a:\n  b: 1\n  c:\n    - 2\n    - d: 3\n", "x.yaml")
    assert document.data == {"a": {"b": 1, "c": [2, {"d": 3}]}}
    assert document.lines["a", "b"] == 2
    assert document.lines["a", "c", 1, "d"] == 5
    assert str(document.error(("a", "c", 1, "d"), "wrong")) == "x.yaml:5: a.c.1.d: wrong"


def test_a_text_that_is_read_again_is_as_it_was_whatever_became_of_the_first():
    first = read_yaml("a: {b: [1]}\n", "x.yaml")
    first.data["a"]["b"].append(2)
    first.overridden.add(("a",))
    again = read_yaml("a: {b: [1]}\n", "x.yaml")
    assert again.data == {"a": {"b": [1]}}
    assert str(again.error(("a",), "wrong")) == "x.yaml:1: a: wrong"


def test_the_nearest_known_line_stands_in_for_a_missing_key():
    assert str(read_yaml("a:\n  b: 1\n", "x").error(("a", "zz", "y"), "no")) == "x:1: a.zz.y: no"


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("3E+2", 300.0), ("1.5e3", 1500.0), ("-2e5", -2e5)])
def test_exponents_without_a_point_are_numbers(text, value):
    assert read_yaml(text, "x").data == value


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("true", True), ("[a, 2]", ["a", 2]), ("1e", "1e"), ("e5", "e5")]
)
def test_values_of_set_are_yaml(text, value):
    assert read_yaml(text, "x").data == value


@pytest.mark.parametrize(
    "payload",
    [
        "!!python/object/apply:os.system ['touch {trace}']",
        "!!python/name:os.system",
        "!!python/object/new:subprocess.Popen [['touch', '{trace}']]",
        "!include {trace}",
    ],
)
def test_tags_are_refused_and_run_nothing(payload, tmp_path):
    trace = tmp_path / "trace"
    with pytest.raises(SpecError, match=r"^evil.yaml:1: .*refused"):
        read_yaml("task: " + payload.format(trace=trace), "evil.yaml")
    assert not trace.exists()


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(SpecError, match="aliases unfold"):
        read_yaml("\n".join(lines), "bomb.yaml")


def test_an_alias_to_itself_is_refused():
    with pytest.raises(SpecError, match="aliases unfold"):
        read_yaml("a: &a [*a]", "loop.yaml")


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)]
)
def test_deep_nesting_is_refused_without_recursion(text):
    with pytest.raises(SpecError, match="nested deeper"):
        read_yaml(text, "deep.yaml")


def test_what_is_nested_as_deep_as_it_may_be_is_read():
    data = read_yaml("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH, "deep.yaml").data
    for _ in range(MAX_DEPTH):
        (data,) = data
    assert data == 1


def test_a_huge_file_is_refused_before_it_is_parsed():
    with pytest.raises(SpecError, match="larger than 1 MiB"):
        read_yaml("#" * (MAX_BYTES + 1), "huge.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "x:2: key 'a' appears twice"),
        ("{[1]: 2}", "x:1: a key must be a plain name"),
        ("a: [1", "x:1: not valid YAML"),
        ("a: 'b", "x:1: not valid YAML"),
        ("a: 1\n--- \nb: 2", "not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)
def test_what_is_not_a_plain_document_is_one_line(text, message):
    with pytest.raises(SpecError) as caught:
        read_yaml(text, "x")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=100)
@given(st.text(alphabet=st.sampled_from("ab:[]{}&*!-\n '\"0123.e#|>%@`"), max_size=60))
def test_any_text_is_read_or_refused_with_one_line(text):
    message = "any.yaml"
    try:
        read_yaml(text, "any.yaml")
    except SpecError as error:
        message = str(error)
    assert message.startswith("any.yaml")
    assert "\n" not in message
