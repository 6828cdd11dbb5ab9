"""The base of every model of a space file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticKnownError


class Frozen(BaseModel):
    """Immutable, and a key that is not a field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
