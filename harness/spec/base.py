"""The base of every model of a space file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and a key that is not a field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
