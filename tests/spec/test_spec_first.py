import pytest
import yaml

from harness.errors import SpecError
from harness.spec import canonical, load_spec, parse_spec, shipped_spaces, spec_hash

SPACE = """
task: digits
space:
  architecture:
    mlp: {depth: {int: [0, 4]}, width: {int: [16, 512], log: true}, norm: [batch, none], residual: [true, false]}
    cnn: {stages: 3, width: {int: [16, 48], step: 16}, head: {linear: {}, mlp: {width: [64, 128]}}}
  optimizer: {adamw: {lr: {float: [1e-4, 1], log: true}, weight_decay: {float: [0, 1], step: 0.25}}}
  batch_size: [64, 128]
  label_smoothing: [0.0, 1e-1]
search: {seed: 1, first: FIRST}
"""


def parse(first, overrides=(), **changes):
    text = SPACE.replace("FIRST", first)
    for old, new in changes.items():
        text = text.replace(old, new)
    return parse_spec(text, origin="x.yaml", overrides=overrides)


def test_candidates_become_points_and_may_leave_parameters_out():
    spec = parse(
        "[{architecture: {mlp: {depth: 2, width: 128}}, optimizer: {adamw: {lr: 1}}, label_smoothing: 0}, "
        "{architecture: {cnn: {stages: 3, head: mlp}}, batch_size: 64}, {architecture: {cnn: }}, {}]"
    )
    assert spec.first == [
        {
            "architecture": "mlp",
            "architecture.mlp.depth": 2,
            "architecture.mlp.width": 128,
            "optimizer.adamw.lr": 1.0,
            "label_smoothing": 0.0,
        },
        {"architecture": "cnn", "architecture.cnn.head": "mlp", "batch_size": 64},
        {"architecture": "cnn"},
        {},
    ]
    assert [type(value) for value in spec.first[0].values()] == [str, int, int, float, float]
    assert spec.notes == ()


@pytest.mark.parametrize(
    ("candidate", "where", "problem"),
    [
        ("{architecture: {mlp: {depth: 5}}}", "architecture.mlp.depth", "5 is not a whole number from 0 to 4; .* 4"),
        ("{architecture: {mlp: {depth: 2.5}}}", "architecture.mlp.depth", "2.5 is not a whole number"),
        ("{architecture: {mlp: {depth: true}}}", "architecture.mlp.depth", "expected a number from 0 to 4, got True"),
        ("{architecture: {mlp: {depth: .inf}}}", "architecture.mlp.depth", "inf is not a whole number"),
        ("{architecture: {mlp: {depth: .nan}}}", "architecture.mlp.depth", "nan is not a whole number"),
        (f"{{optimizer: {{adamw: {{lr: {10**400}}}}}}}", "optimizer.adamw.lr", "is not from 0.0001 to 1"),
        ("{architecture: {mlp: {dept: 2}}}", "architecture.mlp.dept", "not a parameter .* did you mean 'depth'"),
        ("{architecture: {mpl: {depth: 2}}}", "architecture.mpl", "not an option .* did you mean 'mlp'"),
        ("{architecture: [mlp]}", "architecture", "expected one option with its parameters"),
        ("{architecture: {mlp: {}, cnn: {}}}", "architecture", "expected one option with its parameters"),
        ("{architecture: {mlp: 3}}", "architecture.mlp", "expected parameters as a mapping, got 3"),
        ("{architecture: {mlp: {norm: bacth}}}", "architecture.mlp.norm", "bacth is not one of batch, none; .*'batch'"),
        ("{architecture: {mlp: {residual: 1}}}", "architecture.mlp.residual", "1 is not one of true, false"),
        ("{architecture: {cnn: {stages: 2}}}", "architecture.cnn.stages", "the space has only 3 here, not 2"),
        ("{architecture: {cnn: {width: 20}}}", "architecture.cnn.width", "20 is not .* in steps of 16"),
        ("{optimizer: {adamw: {weight_decay: 0.3}}}", "optimizer.adamw.weight_decay", "in steps of 0.25"),
        ("{batch_sise: 64}", "batch_sise", "not a parameter of this space; did you mean 'batch_size'"),
        ("{batch_size: 32}", "batch_size", "32 is not one of 64, 128"),
    ],
)
def test_what_is_not_in_the_space_is_named(candidate, where, problem):
    with pytest.raises(SpecError, match=rf"^x\.yaml:10: search\.first\.1\.{where}: .*{problem}") as found:
        parse(f"[{{}}, {candidate}]")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("first", ["3", "[3]", "{mlp: 2}"])
def test_what_is_no_list_of_mappings(first):
    with pytest.raises(SpecError, match=r"^x\.yaml:10: search\.first"):
        parse(first)


def test_one_that_the_command_line_took_out_of_the_space_is_left_out_and_told():
    first = "[{architecture: {mlp: {depth: 2}}}, {architecture: {mlp: {width: 64}}}]"
    spec = parse(first, ["space.architecture.mlp.depth=1"])
    assert spec.first == [{"architecture": "mlp", "architecture.mlp.width": 64}]
    assert len(spec.notes) == 1
    assert spec.notes[0].startswith("search.first.0.architecture.mlp.depth: the space has only 1 here, not 2")
    assert spec_hash(parse_spec(yaml.safe_dump(canonical(spec)), origin="again")) == spec_hash(spec)


def test_one_that_the_command_line_asks_for_must_fit():
    with pytest.raises(SpecError, match=r"^command line: search\.first\.0\.architecture\.mlp\.depth: "):
        parse("[]", ["space.architecture.mlp.depth=1", "search.first=[{architecture: {mlp: {depth: 2}}}]"])


def test_a_grid_has_an_order_of_its_own():
    spec = parse("[{batch_size: 64}]", ["search.sampler=grid"])
    assert spec.first == []
    assert "grid" in spec.notes[0]


def test_they_decide_the_trials_and_so_the_hash():
    none, one = parse("[]"), parse("[{batch_size: 64}]")
    assert spec_hash(none) != spec_hash(one)
    assert "first" not in canonical(none)["search"]
    assert canonical(one)["search"]["first"] == [{"batch_size": 64}]
    assert parse_spec(yaml.safe_dump(canonical(one)), origin="again") == one


@pytest.mark.parametrize("name", shipped_spaces())
def test_the_shipped_spaces_start_with_candidates_that_fix_everything(name):
    spec = load_spec(name)
    assert len(spec.first) >= 2
    assert spec.notes == ()
