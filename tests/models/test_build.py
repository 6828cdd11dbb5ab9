"""Building by name: what is refused, and what the message says."""

import json
from dataclasses import replace

import pytest
from pydantic import Field
from torch import nn

from harness.errors import InputError
from harness.models import Family, build, families, schema, takes, validate
from harness.models.families.cnn import CNNConfig
from harness.models.family import FamilyConfig, family
from harness.records import InputKind, Named, TaskKind, TaskShape, image_inputs, table_inputs

IMAGE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=image_inputs(1, 4, 4))
TABLE = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(2))

MISTAKES = [
    ("mpl", {}, "unknown architecture 'mpl'; did you mean 'mlp'?"),
    ("mlp", {"widht": 8}, "architecture.mlp.widht: unknown key; did you mean 'width'?"),
    ("mlp", {"depth": -1}, "architecture.mlp.depth: input should be greater than or equal to 0, got -1"),
    ("mlp", {"depth": "2"}, "architecture.mlp.depth: input should be a valid integer, got '2'"),
    ("mlp", {"width": 8.5}, "architecture.mlp.width: input should be a valid integer, got 8.5"),
    ("mlp", {"width": True}, "architecture.mlp.width: input should be a valid integer, got True"),
    ("mlp", {"dropout": 1.0}, "architecture.mlp.dropout: input should be less than 1, got 1.0"),
    ("mlp", {"dropout": float("nan")}, "architecture.mlp.dropout: "),
    ("mlp", {"residual": "yes"}, "architecture.mlp.residual: "),
    ("mlp", {"activation": "rellu"}, "did you mean 'relu'?"),
    ("cnn", {"kernel": 4}, "architecture.cnn.kernel: 4 is not one of 1, 3, 5"),
    ("cnn", {"stages": 0}, "architecture.cnn.stages: input should be greater than or equal to 1, got 0"),
    ("cnn", {"head": "mpl"}, "architecture.cnn.head.mpl: unknown key; did you mean 'mlp'?"),
    ("cnn", {"head": {"mlp": {"width": 1}}}, "architecture.cnn.head.mlp.width: input should be greater"),
    ("cnn", {"head": {"mlp": {"wdth": 8}}}, "architecture.cnn.head.mlp.wdth: unknown key; did you mean 'width'?"),
    ("cnn", {"head": {"linear": {}, "mlp": {}}}, "architecture.cnn.head: choose exactly one of linear, mlp"),
    ("cnn", {"head": {}}, "architecture.cnn.head: choose exactly one of linear, mlp"),
]


@pytest.mark.parametrize(("name", "params", "message"), MISTAKES)
def test_a_mistake_is_refused_in_one_line_that_names_the_key(name, params, message):
    architecture = Named(name, params)
    with pytest.raises(InputError) as building:
        build(architecture, IMAGE)
    with pytest.raises(InputError) as validating:
        validate(architecture)
    assert message in str(building.value)
    assert str(validating.value) == str(building.value)
    assert "\n" not in str(building.value)


def test_all_mistakes_are_named_at_once():
    with pytest.raises(InputError, match=r"architecture\.mlp\.depth: .*; architecture\.mlp\.width: "):
        validate(Named("mlp", {"depth": -1, "width": 0}))


def test_a_valid_architecture_needs_only_the_values_that_differ_from_the_defaults():
    validate(Named("mlp", {"depth": 0}))
    validate(Named("cnn", {"head": {"mlp": None}}))


def test_images_only_families_refuse_tables_and_name_those_that_take_them():
    with pytest.raises(
        InputError,
        match=r"architecture\.cnn: takes image inputs, the task has numeric inputs; "
        r"use one of: ft_transformer, hist_gradient_boosting, linear, mlp, "
        r"nearest_neighbours, random_forest, realmlp, svm, tabm$",
    ):
        build(Named("cnn"), TABLE)


def test_a_table_without_columns_is_refused():
    with pytest.raises(
        InputError, match=r"architecture\.mlp: the task's table has no input columns; keep at least one$"
    ):
        build(Named("mlp"), replace(TABLE, inputs=table_inputs(0)))


@pytest.mark.parametrize("head", ["mlp", {"mlp": {}}, {"mlp": None}, {"mlp": {"width": 128}}])
def test_a_choice_is_a_bare_name_or_a_mapping_of_one_key(head):
    config = CNNConfig(head=head)
    assert config.head.mlp.width == 128
    assert CNNConfig(**config.model_dump()) == config
    assert config.model_dump()["head"] == {"mlp": {"width": 128}}


def test_the_schema_is_json_and_describes_every_parameter_of_every_family():
    schemas = json.loads(json.dumps(schema()))
    assert set(schemas) == set(families) >= {"mlp", "cnn"}
    for family_schema in schemas.values():
        assert family_schema["additionalProperties"] is False
        assert all(
            "description" in parameter or "$ref" in parameter for parameter in family_schema["properties"].values()
        )
    assert schemas["mlp"]["properties"]["depth"]["minimum"] == 0
    assert schemas["cnn"]["$defs"]["Head"]["anyOf"][0] == {"enum": ["linear", "mlp"]}


def test_a_family_is_one_decorated_function_with_its_parameters(monkeypatch):
    class Config(FamilyConfig):
        bias: bool = Field(default=True)

    monkeypatch.setattr(families, "_entries", dict(families._entries))

    @family("line", summary="one linear layer", config=Config, why_not=takes((InputKind.NUMERIC,)))
    def build_line(config, shape):
        return nn.Linear(shape.inputs[0].sizes[0], shape.outputs, bias=config.bias)

    assert families["line"] == Family(
        name="line", summary="one linear layer", config=Config, why_not=families["line"].why_not, build=build_line
    )
    assert build(Named("line", {"bias": False}), TABLE).bias is None
