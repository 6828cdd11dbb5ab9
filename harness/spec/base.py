"""The base of every model of a space file."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError


class Frozen(BaseModel):
    """Immutable, and a key that is not a field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Described(Frozen):
    """The docstring under a field becomes its description in the JSON Schema.

    The source is read when a schema is asked for, and not, as with pydantic's ``use_attribute_docstrings``, whenever
    the class is made: that was half of the time that loading all families takes.
    """

    model_config = ConfigDict(defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return pydantic's schema with the descriptions."""
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema).get("properties", {})
        for each in reversed(cls.__mro__):
            if issubclass(each, Described):
                for name, text in _docstrings(each).items():
                    if name in fields:
                        fields[name]["description"] = text
        return schema


@cache
def _docstrings(model: type) -> dict[str, str]:
    """Return the docstrings under the fields of a class by their names; none where its source is not at hand."""
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except (OSError, TypeError):
        return {}
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, under in itertools.pairwise(body.body):
        match field, under:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


class OneOf:
    """Names that a field takes, asked for when it is checked: a registry may have got others meanwhile.

    For a ``Literal`` they would have to stand in the code.
    """

    def __init__(self, names: Callable[[], Sequence[str]]) -> None:
        self._names = names

    def check(self, name: object) -> object:
        """Refuse any other as pydantic refuses what no ``Literal`` has."""
        if name not in self._names():
            raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, self._names()))})
        return name

    def describe(self, schema: dict[str, Any]) -> None:
        """Complete a JSON Schema."""
        schema["enum"] = list(self._names())
