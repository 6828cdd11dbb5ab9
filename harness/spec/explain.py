"""Pydantic's findings as one line for whoever wrote the space file."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import SpecError, did_you_mean
from harness.spec.reader import Document


def explain(
    document: Document, prefix: tuple[str | int, ...], model: type[BaseModel], error: ValidationError
) -> SpecError:
    """Turn the first of pydantic's findings into one line with file, line, key path and suggestion."""
    findings = error.errors()
    first = findings[0]
    message = reason(first, model)
    if len(findings) > 1:
        message += f" (and {len(findings) - 1} more in this section)"
    return document.error((*prefix, *first["loc"]), message)


def reason(finding: Any, model: type[BaseModel]) -> str:
    """Say what one finding of pydantic means to whoever wrote the file."""
    if finding["type"] == "extra_forbidden":
        owner = _owner(model, finding["loc"][:-1])
        return f"unknown key{did_you_mean(str(finding['loc'][-1]), owner.model_fields)}"
    if finding["type"] == "literal_error":
        return _literal_reason(finding)
    message = str(finding["msg"]).removeprefix("Value error, ")
    if finding["type"] in ("value_error", "missing", "model_type"):
        return message
    return f"{message[0].lower()}{message[1:]}, got {finding['input']!r}"


def _literal_reason(finding: Any) -> str:
    expected = finding["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    hint = did_you_mean(str(finding["input"]), expected)
    return f"{finding['input']!r} is not one of {', '.join(expected)}" + (hint if "mean" in hint else "")


def _owner(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None:
            break
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return model
