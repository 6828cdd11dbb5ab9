"""docs/spaces.md lists every key of the fixed sections with its default, and every sampler and pruner by name."""

import re
from pathlib import Path

import pytest

from harness.problems import known_metrics
from harness.spec import Budget, Limits, Resampling, Search, parse_spec
from harness.spec.names import PRUNERS, SAMPLERS
from harness.spec.task import Split
from harness.study.decide.halving import Halving
from harness.study.decide.pruners import pruner_name

TEXT = (Path(__file__).parents[2] / "docs" / "spaces.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \|", TEXT, flags=re.MULTILINE))
SECTIONS = {"limits": Limits, "budget": Budget, "search": Search, "split": Split, "evaluation": Resampling}


def shown(default):
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"`{default}`" if isinstance(default, str) else f"{default:g}"


def test_every_key_is_there_with_its_default():
    defaults = {
        f"{name}.{key}": field.default for name, kind in SECTIONS.items() for key, field in kind.model_fields.items()
    }
    assert {key: text.removesuffix("s") for key, text in ROWS.items()} == {
        key: shown(default) for key, default in defaults.items()
    }


@pytest.mark.parametrize(("key", "names"), [("sampler", SAMPLERS), ("pruner", PRUNERS)])
def test_every_sampler_and_pruner_is_named(key, names):
    (row,) = re.findall(rf"^\| `search\.{key}` .*$", TEXT, flags=re.MULTILINE)
    for name in names:
        assert f"`{name}`" in row
        assert key == "sampler" or name == "auto" or re.search(rf"^\| `{name}` \|", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("objective", "pruner"),
    [
        ("accuracy", "median"),
        ("[accuracy, parameters]", "dominated"),
        ("[accuracy, loss, flops, train_samples_s]", "dominated"),
        ("[accuracy, latency_ms]", "none"),
    ],
)
def test_auto_stands_for_what_is_said(objective, pruner):
    spec = parse_spec(f"task: digits\nobjective: {objective}\nspace: {{architecture: mlp}}\n", origin="x")
    assert pruner_name(spec) == pruner


def test_the_rungs_are_those_of_the_example():
    assert "1, 3, 9, 20 of 20" in TEXT
    assert Halving(20, maximize=True).rungs == (1, 3, 9, 20)


def test_every_metric_is_named_with_what_is_better():
    rows = re.findall(
        r"^\| (`.*) \| (?:all|classes|values) \| (high|low) \| (every epoch|where asked for) \|$", TEXT, re.M
    )
    told = {
        name: (better == "high", when == "every epoch")
        for names, better, when in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told == {name: (metric.maximize, metric.summed) for name, metric in known_metrics().items()}
