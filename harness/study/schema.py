"""The JSON Schema of space files, for editors that complete and check as one types."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from harness import models
from harness.problems import known_metrics
from harness.registry import Registry, registered
from harness.spec import COST
from harness.spec.load import SECTIONS
from harness.spec.names import SCHEDULES
from harness.spec.task import sources
from harness.spec.training import NESTED, OF_THE_WINNER, Training
from harness.train import optimizers, schedules

_NODES: dict[str, Any] = {
    "scalar": {"type": ["string", "number", "boolean", "null"]},
    "range": {
        "type": "object",
        "properties": {
            **{
                kind: {"type": "array", "items": {"type": number}, "minItems": 2, "maxItems": 2}
                for kind, number in (("int", "integer"), ("float", "number"))
            },
            "log": {"type": "boolean"},
            "step": {"type": "number", "exclusiveMinimum": 0},
        },
        "oneOf": [{"required": ["int"]}, {"required": ["float"]}],
        "not": {"required": ["log", "step"], "properties": {"log": {"const": True}}},
        "additionalProperties": False,
    },
    "options": {"type": "object", "minProperties": 1, "additionalProperties": {"type": ["object", "null"]}},
    "node": {
        "anyOf": [
            {"$ref": "#/$defs/scalar"},
            {"type": "array", "items": {"$ref": "#/$defs/scalar"}, "minItems": 1},
            {"$ref": "#/$defs/range"},
            {"$ref": "#/$defs/options"},
        ]
    },
}


def space_schema() -> dict[str, Any]:
    """Return the schema: fixed sections from their models, the space from what families and optimisers take."""
    own = {"type": "object", "required": ["family"], "additionalProperties": {"$ref": "#/$defs/node"}}
    choices = {
        "architecture": _options({name: family["properties"] for name, family in models.schema().items()}, other=own),
        "optimizer": _options(_configs(optimizers)),
        **{key: _options(_configs(schedules)) for key in SCHEDULES},
    }
    searched = {
        name: _searchable(schema)
        for name, schema in Training.model_json_schema()["properties"].items()
        if name not in (*OF_THE_WINNER, *NESTED)
    }
    nested = {name: _group(model.model_json_schema()["properties"]) for name, model in NESTED.items()}
    inlined = {name: _inline(model) for name, model in SECTIONS.items()}
    keys = dict.fromkeys((*choices, *searched, *nested), True)
    inlined["search"]["properties"]["first"]["items"] = {
        "type": "object",
        "properties": keys,
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "harness space",
        "type": "object",
        "required": ["task", "space"],
        "additionalProperties": False,
        "properties": {
            "task": {"anyOf": [{"type": "string"}, *(_inline(form) for form in sources.values())]},
            "metrics": _metrics(),
            "objective": _objective(),
            **inlined,
            "space": {
                "type": "object",
                "required": ["architecture"],
                "properties": {**choices, **searched, **nested},
                "additionalProperties": False,
            },
        },
        # Beside metrics of the user's own any name may be an objective's.
        "if": {"required": ["metrics"]},
        "else": {"properties": {"objective": {"propertyNames": {"enum": [*known_metrics(), *COST]}}}},
        "$defs": _NODES,
    }


def _metrics() -> dict[str, Any]:
    """Return the schema of names, and of the user's own metrics as module:function."""
    names = {"enum": [*known_metrics(), *sorted(registered("metric"))]}
    own = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
    return {"anyOf": [names, {"type": "array", "items": {"anyOf": [names, own]}}, own]}


def _objective() -> dict[str, Any]:
    """Return the schema of one name, a list, or names with directions; the first one must be a metric of quality.

    What a schema cannot say is which names are metrics of the user's own, and which key of a mapping is the first.
    """
    names = {"enum": [*known_metrics(), *COST]}
    quality = {"enum": list(known_metrics())}
    direction = {"enum": ["maximize", "minimize"]}
    some = {"anyOf": [{"maxProperties": 0}, {"not": {"propertyNames": {"enum": list(COST)}}}]}
    return {
        "anyOf": [
            quality,
            {"type": "array", "prefixItems": [quality], "items": names},
            {"type": "object", "additionalProperties": direction, **some},
        ]
    }


def _inline(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's schema with its definitions in place of references, so that it can stand inside another."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            reference = value.get("$ref")
            if reference:
                return resolve(definitions[reference.rsplit("/", 1)[1]])
            return {key: resolve(item) for key, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    inlined: dict[str, Any] = resolve(schema)
    return inlined


def _configs(registry: Registry[Any]) -> dict[str, dict[str, Any]]:
    return {name: option.config.model_json_schema().get("properties", {}) for name, option in registry.items()}


def _options(options: dict[str, dict[str, Any]], other: Any = False) -> dict[str, Any]:
    properties = {name: {"anyOf": [{"type": "null"}, _group(fields)]} for name, fields in options.items()}
    names = {"enum": list(options)}
    mapping = {"type": "object", "properties": properties, "additionalProperties": other, "minProperties": 1}
    return {"anyOf": [mapping, names, {"type": "array", "items": names, "minItems": 1}]}


def _group(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _searchable(schema) for name, schema in fields.items()},
        "additionalProperties": False,
    }


def _searchable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the node of a parameter, with its description and default for the editor to show."""
    kept: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    return {"$ref": "#/$defs/node", **kept}
