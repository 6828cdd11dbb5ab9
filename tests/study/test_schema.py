"""The JSON Schema of spaces against the parser: both accept the same forms and refuse the same mistakes."""

import re
from pathlib import Path

import jsonschema
import pytest

from harness.errors import SpecError
from harness.spec import load_spec, parse_spec, read_space, shipped_spaces
from harness.spec.reader import read_yaml
from harness.study import space_schema
from harness.study.decide.pruners import pruner_name

DOCS = Path(__file__).parents[2] / "docs" / "spaces.md"
SCHEMA = jsonschema.Draft202012Validator(space_schema())
SPACE = "space: {architecture: mlp}"

TASKS = [
    "digits",
    "{builtin: digits}",
    "{builtin: fashion-mnist, directory: DIR, limit: 2000}",
    "{builtin: wine, split: {validation: 0.2, test: 0.2, duplicates: together}}",
    "{csv: FILE, target: COLUMN}",
    '{csv: FILE, target: "no", kind: regression, drop: [a], categorical: [b], separator: ";"}',
    "{csv: FILE, target: y, dates: [day], split: {order: day}}",
    '{csv: FILE, target: y, dates: {day: "%d/%m/%Y", night: null}, split: {group: person}}',
    '{csv: FILE, target: y, missing: ["?", NA, -999], decimal: ",", thousands: "."}',
    '{csv: FILE, target: y, missing: {income: ["?", -1]}, test: {csv: later.csv}}',
    "{parquet: FILE, target: COLUMN}",
    "{parquet: FILE, target: y, test: {parquet: later.parquet}, limit: 500}",
    "{npz: FILE, inputs: x, targets: y}",
    "{npz: FILE, kind: classification}",
    "{frame: NAME, target: y, drop: [a], limit: 500}",
    "{arrays: NAME, kind: classification}",
    "{images: DIR, size: 32, channels: 3, background: auto}",
    "{images: DIR, size: [28, 32], channels: 1, background: [0, 10, 255]}",
    '{images: DIR, background: "#20a0ff"}',
]

WRONG = [
    f"task: {{}}\n{SPACE}",
    f"task: 3\n{SPACE}",
    f"task: {{builtn: digits}}\n{SPACE}",
    f"task: {{builtin: digits, target: y}}\n{SPACE}",
    f"task: {{builtin: digits, csv: a.csv, target: y}}\n{SPACE}",
    f"task: {{csv: a.csv}}\n{SPACE}",
    f"task: {{csv: a.csv, target: y, kind: ranking}}\n{SPACE}",
    f"task: {{csv: a.csv, target: y, test: later.csv}}\n{SPACE}",
    f"task: {{csv: a.csv, target: y, test: {{parquet: later.parquet}}}}\n{SPACE}",
    f"task: {{csv: a.csv, target: y, missing: [true]}}\n{SPACE}",
    f"task: {{csv: a.csv, target: y, dates: day}}\n{SPACE}",
    f"task: {{csv: a.csv, target: y, separator: ', '}}\n{SPACE}",
    f"task: {{npz: a.npz, target: y}}\n{SPACE}",
    f"task: {{images: DIR, size: 2}}\n{SPACE}",
    f"task: {{images: DIR, size: [32]}}\n{SPACE}",
    f"task: {{images: DIR, channels: 2}}\n{SPACE}",
    f"task: {{builtin: digits, split: {{validation: 1.5}}}}\n{SPACE}",
    f"task: {{builtin: digits, limit: 3}}\n{SPACE}",
    SPACE,
    "task: digits",
    "task: digits\nspace: {}",
    "task: digits\nspace: {optimizer: adamw}",
    f"task: digits\nobjective: acuracy\n{SPACE}",
    f"task: digits\nobjective: latency_ms\n{SPACE}",
    f"task: digits\nobjective: [latency_ms, accuracy]\n{SPACE}",
    f"task: digits\nobjective: {{latency_ms: minimize}}\n{SPACE}",
    f"task: digits\nobjective: {{accuracy: up}}\n{SPACE}",
    f"task: digits\nlimits: {{parameters: 0}}\n{SPACE}",
    f"task: digits\nbudget: {{epochs: 0}}\n{SPACE}",
    f"task: digits\nsearch: {{pruner: medium}}\n{SPACE}",
    f"task: digits\nsearch: {{sampler: [tpe]}}\n{SPACE}",
    f"task: digits\ntraining: {{precision: fp8}}\n{SPACE}",
    f"task: digits\nsearch_space: {{}}\n{SPACE}",
    "task: digits\nspace: {architecture: {mlp: {depth: {int: [1, 2.5]}}}}",
    "task: digits\nspace: {architecture: {mlp: {depth: {int: [1, 3], log: true, step: 1}}}}",
    "task: digits\nspace: {architecture: {mlp: {depth: {int: [1, 3], float: [1, 3]}}}}",
    "task: digits\nspace: {architecture: {mlp: {depth: []}}}",
    "task: digits\nspace: {architecture: []}",
    "task: digits\nspace: {architecture: {mlp: {deph: 3}}}",
    "task: digits\nspace: {architecture: mpl}",
    "task: digits\nspace: {architecture: mlp, optimizer: {sgd: {lrr: 1}}}",
    f"task: digits\nbudget: {{trialz: 1}}\n{SPACE}",
    "task: digits\nspace: {architecture: {mlp: {depth: {int: [1]}}}}",
    f"task: wine\ntraining: {{preprocessing: {{numeric: quantil}}}}\n{SPACE}",
    "task: wine\nspace: {architecture: mlp, preprocessing: {onehot: 3}}",
    "task: wine\nspace: {architecture: mlp, preprocessing: quantile}",
]


def plain(text):
    """Return the data as the program's own reader has it: 1e-4 is a number, a date is text."""
    return read_yaml(text, "x").data


@pytest.mark.parametrize("task", TASKS)
def test_every_form_of_a_task_is_accepted_by_both(task):
    text = f"task: {task}\n{SPACE}"
    parse_spec(text, origin="x")
    SCHEMA.validate(plain(text))


@pytest.mark.parametrize("form", re.findall(r"`(\{(?:builtin|csv|parquet|npz|images): [^`]*\})`", DOCS.read_text()))
def test_every_form_in_the_docs_is_accepted_by_both(form):
    fields = plain(form)
    if set(fields) in ({"csv"}, {"parquet"}):  # a test file of its own
        form = (
            f"{{csv: FILE, target: y, test: {form}}}" if "csv" in fields else f"{{parquet: F, target: y, test: {form}}}"
        )
    text = f"task: {form}\n{SPACE}"
    parse_spec(text, origin="x")
    SCHEMA.validate(plain(text))


@pytest.mark.parametrize("text", WRONG)
def test_both_refuse_what_is_wrong(text):
    with pytest.raises(SpecError):
        parse_spec(text, origin="x")
    assert not SCHEMA.is_valid(plain(text))


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_shipped_spaces_fit_and_take_several_objectives(name):
    SCHEMA.validate(plain(read_space(name)))
    assert pruner_name(load_spec(name)) == "median"
    for objective, pruner in (
        ("{accuracy: maximize, latency_ms: minimize}", "none"),
        ("[loss, parameters]", "dominated"),
    ):
        assert pruner_name(load_spec(name, [f"objective={objective}"])) == pruner
