"""Pydantic's findings as one line for whoever wrote the space file."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import SpecError, did_you_mean
from harness.spec.reader import KEY, Document, Path

TEXT = ("string_type", "path_type", "invalid_key")
"""Pydantic's words for what is no text and should be."""


def explain(
    document: Document, prefix: tuple[str | int, ...], model: type[BaseModel], error: ValidationError
) -> SpecError:
    """Turn the first of pydantic's findings into one line with file, line, key path and suggestion."""
    findings = error.errors()
    # Of the alternatives of a field, the one that would take the bare word as text says most.
    texts = (finding for finding in findings if finding["type"] in TEXT and _bare(document, prefix, finding))
    first = next(texts, findings[0])
    path = _bare(document, prefix, first)
    message = reason(first, model, document.written[path] if path else None)
    places = {_place(document, prefix, finding) for finding in findings}  # alternatives of a field are at one
    if len(places) > 1:
        message += f" (and {len(places) - 1} more in this section)"
    if path is None:
        path = (*prefix, *first["loc"])
    return document.error(path[:-2] if path[-1:] == (KEY,) else path, message)


def _bare(document: Document, prefix: Path, finding: Any) -> Path | None:
    """Return the path of the value, or key, that a finding is about where YAML made something else of a bare word."""
    if finding["type"] not in (*TEXT, "literal_error"):
        return None
    path = _place(document, prefix, finding)
    if finding["type"] == "invalid_key" or finding["loc"][-1:] == (KEY,):
        path = (*path, KEY)
    return path if path in document.written else None


def _place(document: Document, prefix: Path, finding: Any) -> Path:
    """Return the path of the value that a finding is about, or of what it is missing in."""
    at: Any = document.data
    path: Path = ()
    for part in (*prefix, *finding["loc"]):
        inside = part in (at if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ())
        if inside:  # all else are pydantic's names for the alternatives of a field
            at, path = at[part], (*path, part)
    return path if finding["type"] != "missing" else (*path, finding["loc"][-1])


def reason(finding: Any, model: type[BaseModel], written: str | None = None) -> str:
    """Say what one finding of pydantic means to whoever wrote the file, as ``written`` where that is known."""
    if finding["type"] == "extra_forbidden":
        owner = _owner(model, finding["loc"][:-1])
        return f"unknown key{did_you_mean(str(finding['loc'][-1]), owner.model_fields)}"
    if finding["type"] == "literal_error":
        return _literal_reason(finding, written)
    if finding["type"] in TEXT and isinstance(finding["input"], bool | int | float | None):
        return _misread(finding["input"], written)
    message = str(finding["msg"]).removeprefix("Value error, ")
    if finding["type"] in ("value_error", "missing", "model_type"):
        return message
    return f"{message[0].lower()}{message[1:]}, got {finding['input']!r}"


def _misread(value: bool | float | None, written: str | None) -> str:
    made = "null" if value is None else str(value).lower() if isinstance(value, bool) else f"the number {value!r}"
    if written:
        return f'YAML reads a bare {written} as {made}, not as text; put quotes around it: "{written}"'
    return f"expected text, got {made}; put quotes around what is meant as text"


def _literal_reason(finding: Any, written: str | None) -> str:
    expected = finding["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    if written in expected:
        return _misread(finding["input"], written)
    hint = did_you_mean(written or str(finding["input"]), expected)
    given = written or repr(finding["input"])
    return f"{given} is not one of {', '.join(expected)}" + (hint if "mean" in hint else "")


def _owner(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None:
            break
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return model
