import jsonschema
import pytest
import yaml

from harness.errors import SpecError
from harness.spec import Averaged, Blended, canonical, parse_spec, spec_hash
from harness.study import space_schema

SPACE = "task: digits\nspace: {architecture: mlp}\n"
SCHEMA = jsonschema.Draft202012Validator(space_schema())


def final_of(*overrides, text=SPACE):
    return parse_spec(text, origin="x.yaml", overrides=overrides).training.final


def test_what_may_become_of_the_winner():
    assert final_of() == "auto"
    assert [final_of(f"training.final={name}") for name in ("auto", "refit", "keep")] == ["auto", "refit", "keep"]
    assert final_of("training.final={ensemble: 4}") == Averaged(ensemble=4)
    assert final_of("training.final={trials: 8}") == Blended(trials=8)
    assert final_of(text=SPACE + "training: {final: {ensemble: 64}}") == Averaged(ensemble=64)


@pytest.mark.parametrize("final", ["auto", "refit", "keep", "{ensemble: 4}", "{trials: 8}"])
def test_it_survives_being_written_down_and_fits_the_schema(final):
    spec = parse_spec(SPACE, origin="x", overrides=[f"training.final={final}"])
    data = canonical(spec)
    again = parse_spec(yaml.safe_dump(data), origin="y")
    assert again == spec
    assert spec_hash(again) == spec_hash(spec)
    SCHEMA.validate({"task": "digits", "training": data["training"], "space": {"architecture": "mlp"}})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("kep", r"training\.final: 'kep' is not one of .*, \{ensemble: N\} or \{trials: N\}; did you mean 'keep'\?"),
        ("best", r"training\.final: 'best' is not one of auto, refit, keep, \{ensemble: N\} or \{trials: N\}$"),
        ("{ensemble: 1}", r"training\.final: expected auto, .* with N from 2 to 64, got \{'ensemble': 1\}"),
        ("{ensemble: 65}", r"got \{'ensemble': 65\}"),
        ("{trials: 1}", r"training\.final: expected auto, .* with N from 2 to 64, got \{'trials': 1\}"),
        ("{trials: 4, ensemble: 4}", r"got \{'trials': 4, 'ensemble': 4\}"),
        ("{ensemble: true}", r"got \{'ensemble': True\}"),
        ("{average: 3}", r"got \{'average': 3\}"),
        ("[refit, keep]", r"got \['refit', 'keep'\]"),
        ("null", r"got None"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_may_stand_there(value, message):
    with pytest.raises(SpecError, match=message):
        final_of(f"training.final={value}")
    data = {"task": "digits", "training": {"final": yaml.safe_load(value)}, "space": {"architecture": "mlp"}}
    assert not SCHEMA.is_valid(data)


def test_it_cannot_be_searched():
    with pytest.raises(SpecError, match=r"space\.final: unknown key"):
        final_of("space.final=[refit, keep]")
