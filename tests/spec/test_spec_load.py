import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.records import Named
from harness.spec import (
    Candidate,
    Preprocessing,
    as_yaml,
    candidate_at,
    canonical,
    load_spec,
    options_of,
    parameters,
    parse_duration,
    parse_spec,
    shipped_spaces,
    size,
    spec_hash,
)
from harness.spec.training import OF_THE_WINNER

BASE = "task: digits\nspace: {architecture: mlp}\n"


def parse(text, *overrides):
    return parse_spec(text, origin="x.yaml", overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml: expected a mapping"),
        ("- a", "x.yaml:1: expected a mapping"),
        ("task: digits", "x.yaml:1: the key `space:` is missing"),
        ("space: {architecture: mlp}", "the key `task:` is missing"),
        (BASE + "budgett: {trials: 3}", "x.yaml:3: budgett: unknown key; did you mean 'budget'?"),
        (BASE + "budget: {trial: 3}", "x.yaml:3: budget.trial: unknown key; did you mean 'trials'?"),
        (BASE + "budget: {trials: many}", "x.yaml:3: budget.trials: input should be a valid integer"),
        (BASE + "budget: {trials: 0}", "x.yaml:3: budget.trials: input should be greater than or equal to 1, got 0"),
        (BASE + "budget: 3", "x.yaml:3: budget: "),
        (BASE + "budget: {time: soon}", "x.yaml:3: budget.time: 'soon' is not a duration; write 45s"),
        (BASE + "search: {sampler: tpee}", "x.yaml:3: search.sampler: 'tpee' is not one of tpe, random"),
        (BASE + "search: {sampler: tpee}", "did you mean 'tpe'?"),
        (BASE + "search: {seed: -1}", "x.yaml:3: search.seed: "),
        (BASE + "limits: {latencyms: 5}", "x.yaml:3: limits.latencyms: unknown key; did you mean 'latency_ms'?"),
        (BASE + "objective: acuracy", "x.yaml:3: objective: unknown objective 'acuracy'; did you mean 'accuracy'?"),
        (BASE + "objective: {accuracy: max}", "x.yaml:3: objective.accuracy: 'max' is not one of maximize, minimize"),
        (BASE + "objective: [latency_ms, accuracy]", "'latency_ms' can only follow"),
        (BASE + "objective: [accuracy, latency_ms]\nsearch: {pruner: asha}", "works with one objective only"),
        (BASE + "objective: [accuracy, latency_ms]\nsearch: {sampler: cmaes}", "works with one objective only"),
        (BASE + "training: {augment: {flipp: true}}", "training.augment.flipp: unknown key; did you mean 'flip'?"),
        ("task: 3\nspace: {architecture: mlp}", "x.yaml:1: task: expected the name of a task"),
        ("task: {csv: a, npz: b}\nspace: {architecture: mlp}", "exactly one of"),
        ("task: {csvv: a}\nspace: {architecture: mlp}", "did you mean 'csv'?"),
        ("task: {csv: a}\nspace: {architecture: mlp}", "x.yaml:1: task.target: "),
        ("task: {csv: a, target: b, split: {test: 0.95}}\nspace: {architecture: mlp}", "task.split"),
        ("task: {csv: a, target: b, splitt: 1}\nspace: {architecture: mlp}", "did you mean 'split'?"),
        ("task: digits\nspace: 3", "x.yaml:2: space: expected a mapping"),
        ("task: digits\nspace: {batch_size: 3}", "the key `architecture:` is missing"),
        (
            "task: digits\nspace: {architecture: mlp, batchsize: 3}",
            "space.batchsize: unknown key; did you mean 'batch_",
        ),
        (
            "task: digits\nspace: {architecture: mlp, batch_size: [0, 3]}",
            "space.batch_size: 0: input should be greater",
        ),
        ("task: digits\nspace: {architecture: mlp, precision: [fp32, fp8]}", "'fp8' is not one of auto, fp32"),
        ("task: digits\nspace: {architecture: mlp, label_smoothing: {float: [0, 1]}}", "1.0: input should be less"),
        ("task: digits\nspace: {architecture: mlp, batch_size: {a: {}, b: {}}}", "not options of its own"),
        ("task: digits\nspace: {architecture: mlp, augment: {flipp: true}}", "did you mean 'flip'?"),
        ("task: digits\nspace: {architecture: mlp, augment: {shift: {float: [0, 2]}}}", "space.augment.shift: 2.0"),
        (BASE + "training: {preprocessing: {rar: 3}}", "training.preprocessing.rar: unknown key; did you mean 'rare'?"),
        ("task: wine\nspace: {architecture: mlp, preprocessing: {onehot: 3}}", "unknown key; did you mean 'one_hot'?"),
        (
            "task: wine\nspace: {architecture: mlp, preprocessing: {numeric: [standard, quantil]}}",
            "space.preprocessing.numeric: 'quantil': 'quantil' is not one of standard, robust_clip, quantile; did you",
        ),
        (
            "task: wine\nspace: {architecture: mlp, preprocessing: {rare: {int: [0, 9]}}}",
            "space.preprocessing.rare: 0: ",
        ),
        (
            "task: wine\ntraining: {preprocessing: {rare: 2}}\nspace: {architecture: mlp, preprocessing: {rare: [3]}}",
            "space.preprocessing.rare: set in `training:` as well",
        ),
        (
            "task: digits\ntraining: {batch_size: 3}\nspace: {architecture: mlp, batch_size: [1, 2]}",
            "space.batch_size: set in `training:` as well",
        ),
        (
            "task: digits\ntraining: {augment: {flip: true}}\nspace: {architecture: mlp, augment: {flip: [true]}}",
            "space.augment.flip: set in `training:` as well",
        ),
    ],
)
def test_every_mistake_is_one_line_with_its_place(text, message):
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_mistakes_of_a_section_are_counted():
    with pytest.raises(SpecError, match=r"\(and 1 more in this section\)"):
        parse(BASE + "budget: {trials: 0, epochs: 0}")


def test_shipped_spaces_are_valid_and_found_by_name():
    assert set(shipped_spaces()) >= {"digits", "fashion-mnist", "tabular"}
    for name in shipped_spaces():
        spec = load_spec(name)
        assert options_of(spec)
        assert list(parameters(spec.group))


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_the_canonical_form_is_a_space_of_the_same_meaning(name):
    spec = load_spec(name)
    again = parse(yaml.safe_dump(canonical(spec), sort_keys=False))
    assert again.group == spec.group
    assert canonical(again) == canonical(spec)
    assert spec_hash(again) == spec_hash(spec)


def test_the_hash_ignores_how_long_to_search_and_baselines_and_nothing_else():
    spec = parse(BASE)
    assert spec_hash(parse(BASE, "budget.trials=99", "budget.time=5m")) == spec_hash(spec)
    assert spec_hash(parse(BASE, "search.baselines=false")) == spec_hash(spec)
    for override in ("budget.epochs=3", "search.seed=1", "search.sampler=random", "training.batch_size=3", "task=wine"):
        assert spec_hash(parse(BASE, override)) != spec_hash(spec), override


def test_a_task_by_name_takes_overrides_of_its_keys():
    spec = parse(BASE, "task.split.seed=3", "task.limit=200")
    assert (spec.task.builtin, spec.task.split.seed, spec.task.limit) == ("digits", 3, 200)


def test_a_split_by_the_seed_of_the_search_is_the_one_of_before_it_had_a_seed():
    """So a run that a version without the key has left is known by the same hash."""
    plain = canonical(parse(BASE, "search.seed=3", "task.split.seed=3"))
    assert plain["task"]["split"].pop("seed") == 3
    del plain["search"]["baselines"]
    plain["budget"] = {"epochs": 20}
    earlier = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    assert spec_hash(parse(BASE, "search.seed=3", "task.split.seed=3")) == earlier
    assert spec_hash(parse(BASE, "search.seed=3")) != earlier


def test_overrides_reach_any_depth_and_name_themselves_when_wrong():
    spec = parse(BASE, "budget.trials=7", "space.architecture={mlp: {depth: 2}}", "limits.parameters=1_000")
    assert spec.budget.trials == 7
    assert spec.limits.parameters == 1000
    for wrong in ("budget.trials", "=3", "budget..x=1", "space.architecture.y=1"):
        with pytest.raises(SpecError, match="--set"):
            parse(BASE, wrong)
    with pytest.raises(SpecError, match=r"^command line: budget\.trials: "):
        parse(BASE + "budget: {trials: 3}", "budget.trials=x")
    with pytest.raises(SpecError, match=r"^command line: space\.batch_size\.int: low 4"):
        parse(BASE, "space.batch_size={int: [4, 1]}")


def test_a_key_is_taken_out_with_all_below_it():
    text = "task: digits\nbudget: {trials: 7}\nspace: {architecture: {mlp: {depth: 2}, cnn: {}}}"
    spec = parse(text, "~space.architecture.mlp", "~budget")
    assert options_of(spec) == ("cnn",)
    assert spec.budget.trials == parse(BASE).budget.trials
    assert options_of(parse(text, "~space.architecture.mlp", "space.architecture.mlp={}")) == ("cnn", "mlp")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("~space.architecture.mpl", r"^--set ~space\.architecture\.mpl: space\.architecture has no 'mpl' to take out"),
        ("~spaces", r"^--set ~spaces: the space has no 'spaces' to take out; did you mean 'space'\?"),
        ("~task.split", r"^--set ~task\.split: task has no 'split' to take out$"),
        ("~space", r"the key `space:` is missing"),
        ("~", r"^--set ~: expected ~key\.path, such as ~space\.architecture\.mlp"),
        ("~space.architecture", r"architecture"),
    ],
)
def test_what_cannot_be_taken_out_is_named(override, message):
    with pytest.raises(SpecError, match=message):
        parse("task: digits\nspace: {architecture: {mlp: {}}}", override)


@pytest.mark.parametrize(
    ("written", "colour"),
    [("auto", "auto"), ("white", "white"), ("'#0080Ff'", (0, 128, 255)), ("[1, 2, 3]", (1, 2, 3))],
)
def test_the_ground_of_images_is_a_name_or_a_colour(written, colour):
    spec = parse(f"task: {{images: icons, background: {written}}}\nspace: {{architecture: mlp}}")
    assert spec.task.background == colour
    assert spec_hash(parse(yaml.safe_dump(canonical(spec), sort_keys=False))) == spec_hash(spec)


@pytest.mark.parametrize("wrong", ["grey", "'#fff'", "[1, 2]", "[1, 2, 256]", "[1, 2, 0.5]", "[1, 2, true]", "-1", ""])
def test_a_ground_that_is_no_colour_is_refused_in_one_line(wrong):
    text = f"task:\n  images: icons\n  background: {wrong}\nspace: {{architecture: mlp}}"
    with pytest.raises(SpecError, match=r"task\.background: expected auto, white, black, \[r, g, b\]") as raised:
        parse(text)
    assert ("an unquoted # starts a comment" in str(raised.value)) == (wrong == "")


def test_paths_of_a_task_start_at_the_space_file(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("task: {csv: data.csv, target: y}\nspace: {architecture: mlp}\n")
    assert load_spec(str(file)).task.csv == tmp_path / "data.csv"
    assert load_spec("tabular", ["task={csv: data.csv, target: y}"]).task.csv == Path.cwd() / "data.csv"


def test_a_space_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match="did you mean 'digits'"):
        load_spec("digit")
    with pytest.raises(SpecError, match="no such file"):
        load_spec("nowhere/x.yaml")
    with pytest.raises(SpecError, match="a folder"):
        load_spec(str(tmp_path))
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="not UTF-8"):
        load_spec(str(tmp_path / "b.yaml"))


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("20m", 1200), ("1h30m", 5400), ("1.5h", 5400), (90, 90), ("2m 5s", 125)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5x", "-3s", 0, "0s", True, None, "1s1h", float("nan")])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


SPACE = """
task: digits
training: {patience: 3, augment: {crop: 2}}
space:
  architecture:
    mlp: {depth: {int: [1, 3]}, norm: batch}
    cnn: {head: {linear: {}, mlp: {width: [8, 16]}}}
  optimizer: {sgd: {lr: {float: [0.1, 1.0]}, nesterov: true}}
  batch_size: [32, 64]
  augment: {flip: [true, false]}
"""


def test_a_candidate_has_what_was_chosen_and_what_is_fixed():
    spec = parse(SPACE)
    chosen = {
        "architecture": "cnn",
        "architecture.cnn.head": "mlp",
        "architecture.cnn.head.mlp.width": 16,
        "optimizer.sgd.lr": 0.5,
        "batch_size": 64,
        "augment.flip": True,
    }
    candidate = candidate_at(spec, chosen)
    assert candidate.architecture == Named("cnn", {"head": {"mlp": {"width": 16}}})
    assert candidate.optimizer == Named("sgd", {"lr": 0.5, "nesterov": True})
    assert candidate.schedule == Named("constant", {})
    assert (candidate.training.batch_size, candidate.training.patience) == (64, 3)
    assert (candidate.training.augment.flip, candidate.training.augment.crop) == (True, 2)
    assert Candidate.from_dict(candidate.as_dict()) == candidate


def test_keys_that_came_later_change_nothing_where_they_are_not_used():
    spec = parse(BASE)
    assert not {"ema", "swa"} & canonical(spec)["training"].keys()
    assert "winner" not in canonical(spec)["search"]
    assert spec_hash(parse(BASE, "training.ema=0", "training.swa=0")) == spec_hash(spec)
    assert spec_hash(parse(BASE, "training.ema=0.9")) != spec_hash(spec)
    assert spec_hash(parse(BASE, "search.winner=best")) != spec_hash(spec)
    again = parse(yaml.safe_dump(canonical(parse(BASE, "training.swa=0.5"))))
    assert again.training.swa == 0.5


def test_preprocessing_is_fixed_in_part_and_changes_no_hash_where_it_is_not_used():
    spec = parse(BASE)
    assert "preprocessing" not in canonical(spec)["training"]
    assert spec_hash(parse(BASE, "training.preprocessing={numeric: standard, rare: 1}")) == spec_hash(spec)
    assert spec_hash(parse(BASE, "training.preprocessing.rare=2")) != spec_hash(spec)
    varied = parse(
        "task: wine\ntraining: {preprocessing: {rare: 5}}\n"
        "space: {architecture: mlp, preprocessing: {numeric: [standard, quantile], one_hot: {int: [0, 20]}}}"
    )
    again = parse(yaml.safe_dump(canonical(varied)))
    assert (again.group, again.training, spec_hash(again)) == (varied.group, varied.training, spec_hash(varied))
    candidate = candidate_at(varied, {"preprocessing.numeric": "quantile", "preprocessing.one_hot": 7})
    assert candidate.training.preprocessing == Preprocessing(numeric="quantile", rare=5, one_hot=7)
    assert Candidate.from_dict(candidate.as_dict()) == candidate


def test_the_candidate_of_an_earlier_version_has_the_defaults_of_what_it_does_not_say():
    candidate = candidate_at(parse("task: digits\nspace: {architecture: mlp, optimizer: sgd}"), {})
    later = ("ema", "swa", "dropout_schedule", "weight_decay_schedule", "preprocessing")
    older = {key: value for key, value in candidate.as_dict().items() if key not in later}
    assert Candidate.from_dict(older) == candidate


def test_dropout_and_weight_decay_may_follow_any_schedule():
    spec = parse(
        "task: digits\nspace: {architecture: mlp, dropout_schedule: [constant, coslog4], "
        "weight_decay_schedule: {wsd: {decay: {float: [0.1, 0.5]}}}, ema: [0, 0.99]}"
    )
    point = {"dropout_schedule": "coslog4", "weight_decay_schedule.wsd.decay": 0.25, "ema": 0.99}
    candidate = candidate_at(spec, point)
    assert candidate.dropout_schedule == Named("coslog4")
    assert candidate.weight_decay_schedule == Named("wsd", {"decay": 0.25})
    assert (candidate.schedule, candidate.training.ema) == (Named("constant"), 0.99)
    assert Candidate.from_dict(candidate.as_dict()) == candidate
    with pytest.raises(SpecError, match=r"space\.dropout_schedule\.coslog: unknown dropout_schedule 'coslog'; did you"):
        parse("task: digits\nspace: {architecture: mlp, dropout_schedule: coslog}")


def test_a_candidate_is_a_space_with_one_point():
    candidate = candidate_at(
        parse(SPACE),
        {
            "architecture": "mlp",
            "architecture.mlp.depth": 2,
            "optimizer.sgd.lr": 0.2,
            "batch_size": 32,
            "augment.flip": 0,
        },
    )
    space = {key: value for key, value in candidate.as_dict().items() if key not in OF_THE_WINNER}
    spec = parse(yaml.safe_dump({"task": "digits", "space": space}))
    assert size(spec.group) == 1
    assert candidate_at(spec, {}) == candidate


BARE = {
    "no": "false",
    "Yes": "true",
    "on": "true",
    "off": "false",
    "2024": "the number 2024",
    "010": "the number 8",
    "1e3": "the number 1000.0",
    "1_000": "the number 1000",
    "0x1F": "the number 31",
    "1:30": "the number 90",
    "null": "null",
    "~": "null",
}


@pytest.mark.parametrize("word", BARE)
@pytest.mark.parametrize(
    ("task", "overrides", "place"),
    [
        ("{csv: a.csv, target: WORD}", (), "s.yaml:1: task.target"),
        ("{csv: a.csv, target: y, drop: [a, WORD]}", (), "s.yaml:1: task.drop.1"),
        ("{csv: a.csv, target: y, categorical: [WORD]}", (), "s.yaml:1: task.categorical.0"),
        ("{csv: aWORD, target: WORD}", (), "s.yaml:1: task.target"),
        ("{npz: a.npz, inputs: WORD}", (), "s.yaml:1: task.inputs"),
        ("{builtin: WORD}", (), "s.yaml:1: task.builtin"),
        ("{csv: a.csv, target: 3}", ("task.target=WORD",), "command line: task.target"),
        ("digits", ("task={csv: a.csv, target: WORD}",), "command line: task.target"),
    ],
)
def test_a_bare_word_that_yaml_does_not_read_as_text_is_to_be_quoted(word, task, overrides, place):
    def spec(written):
        text = f"task: {task.replace('WORD', written)}\nspace: {{architecture: mlp}}"
        return parse_spec(text, origin="s.yaml", overrides=[each.replace("WORD", written) for each in overrides])

    with pytest.raises(SpecError) as caught:
        spec(word)
    fix = f'YAML reads a bare {word} as {BARE[word]}, not as text; put quotes around it: "{word}"'
    assert str(caught.value) == f"{place}: {fix}"
    if "builtin" in task:  # in quotes it is text, though no task is called so
        with pytest.raises(SpecError, match=rf"unknown task '{re.escape(word)}'"):
            spec(f'"{word}"')
    else:
        assert word in str(spec(f'"{word}"').task)


def test_a_path_is_text_as_well():
    text = "task: {csv: 010, target: y}\nspace: {architecture: mlp}"
    with pytest.raises(SpecError, match=r'^s.yaml:1: task.csv: YAML reads a bare 010 as the number 8, .*: "010"$'):
        parse_spec(text, origin="s.yaml")


def test_a_key_that_yaml_does_not_read_as_text_is_to_be_quoted():
    text = "task: {csv: a.csv, target: y, 2024: mean}\nspace: {architecture: mlp}"
    with pytest.raises(SpecError, match=r'^s.yaml:1: task: YAML reads a bare 2024 as .* quotes around it: "2024"$'):
        parse_spec(text, origin="s.yaml")


def test_a_word_of_a_list_is_named_as_it_was_written():
    text = "task: digits\nsearch: {pruner: off}\nspace: {architecture: mlp}"
    with pytest.raises(SpecError, match=r"^s.yaml:2: search.pruner: off is not one of auto"):
        parse_spec(text, origin="s.yaml")
    with pytest.raises(SpecError, match=r"^command line: search.pruner: 'medan' is not one of .*'median'\?$"):
        parse_spec(text, origin="s.yaml", overrides=["search.pruner=medan"])


def test_what_looks_like_a_date_is_text():
    text = "task: {csv: a.csv, target: 2024-03-14, drop: [2024-03-14T10:00:00Z]}\nspace: {architecture: mlp}"
    spec = parse_spec(text, origin="s.yaml")
    assert (spec.task.target, spec.task.drop) == ("2024-03-14", ("2024-03-14T10:00:00Z",))
    dated = "task: digits\nspace: {architecture: mlp, batch_size: [64, 2024-03-14]}"
    with pytest.raises(SpecError, match=r"^s.yaml:2: space.batch_size: .*'2024-03-14'"):
        parse_spec(dated, origin="s.yaml")


@settings(max_examples=50)
@example(name="0E0")
@example(name="1_000e-3")
@given(name=st.text(st.characters(exclude_categories=["Cs", "Zl", "Zp"], exclude_characters="\x85"), min_size=1))
def test_what_is_written_for_a_name_reads_as_that_name(name):
    spec = parse_spec("task: {csv: a.csv, target: y}\nspace: {architecture: mlp}", origin="x")
    spec = spec.model_copy(update={"task": spec.task.model_copy(update={"target": name})})
    assert parse_spec(as_yaml(spec), origin="y").task.target == name


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SpecError, match=r"huge.yaml: larger than 1 MiB"):
        load_spec(str(path))
