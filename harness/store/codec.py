"""Trial and epoch records as JSON text, NaN included, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from harness.errors import StorageError
from harness.records import EpochRecord, TrialRecord
from harness.store.files import first_fault


@dataclass(config=ConfigDict(extra="forbid", strict=True))
class _Stored:
    """The whole text; pydantic holds the records within it to the same strictness."""

    trial: TrialRecord
    epochs: list[EpochRecord]


_STORED = TypeAdapter(_Stored)


def encode(trial: TrialRecord, epochs: Sequence[EpochRecord]) -> str:
    """Return one trial with its epochs as JSON (Python's dialect: NaN is written as ``NaN``).

    What is no text, such as the stray bytes of a file's name in the message of a crash, becomes a question mark.
    """
    text = json.dumps({"trial": trial, "epochs": list(epochs)}, default=_by_field, ensure_ascii=False)
    return text.encode(errors="replace").decode()


def decode(text: str) -> tuple[TrialRecord, list[EpochRecord]]:
    """Return what :func:`encode` was given; fields that an older text lacks have their defaults.

    Raises :class:`StorageError` for anything else than what :func:`encode` writes.
    """
    try:
        stored = _STORED.validate_json(text)
    except ValidationError as error:
        raise StorageError(f"the record of a trial is damaged: {' '.join(first_fault(error).split())}") from None
    return stored.trial, stored.epochs


def _by_field(record: Any) -> Mapping[str, Any]:
    """Return a record's own fields; ``asdict`` copies what is in them too, and takes four times as long."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
