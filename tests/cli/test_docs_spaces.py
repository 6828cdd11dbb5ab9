"""docs/spaces.md lists every key with its default, every option with its parameters, and every sampler and pruner."""

import re
from pathlib import Path

import pytest

from harness.problems import known_metrics
from harness.spec import Budget, Limits, Resampling, Search, Spec, Training, parse_spec
from harness.spec.names import OPTIONS, PRUNERS, SAMPLERS
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
        r"^\| (`.*) \| [a-z, ]+ \| (high|low) \| (every epoch|where asked for) \|$",
        TEXT,
        re.M,
    )
    told = {
        name: (better == "high", when == "every epoch")
        for names, better, when in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told == {name: (metric.maximize, metric.summed) for name, metric in known_metrics().items()}


def table(title, head):
    """Return the rows of the table below a heading whose first cell is ``head``, each as its cells."""
    lines = TEXT.partition(f"# {title}\n")[2].partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()
    return [line.strip("|").split("|") for line in lines[2:]]


def test_every_option_is_named_with_its_parameters():
    told = {}
    for cells in table("`space`", "option"):
        if match := re.match(r" `(\w+): (\w+)`(?:, `(\w+)`)?", cells[0]):
            key, *names = match.groups()
            words = re.sub(r"\([^)]*\)", "", cells[1])
            told |= {(key, name): set(re.findall(r"`(\w+)`", words)) for name in names if name}
    known = {
        (key, name): set(each)
        for key in ("architecture", "optimizer", "schedule")
        for name, each in OPTIONS[key].items()
    }
    assert told == known


def test_every_key_of_training_is_there_and_numbers_with_their_default():
    rows = {tuple(re.findall(r"`(\w+)`", cells[0])): cells[1] for cells in table("`training`", "key")}
    assert {key for keys in rows for key in keys} == set(Training.model_fields)
    for keys, text in rows.items():
        for key, said in zip(keys, text.split(","), strict=False):
            default = Training.model_fields[key].default
            if isinstance(default, int | float | str):
                assert said.strip().strip("`") == f"{default}".removesuffix(".0"), key


def test_the_page_begins_with_a_whole_space_and_every_key_of_the_top_level():
    text = re.findall(r"^```yaml\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)[0]
    assert parse_spec(text, origin="docs/spaces.md").budget.trials == 40
    names = [name for cells in table("Space files", "key") for name in re.findall(r"`(\w+)`", cells[0])]
    assert set(names) == set(Spec.model_fields)
