"""Which columns of a table a model asks for, and which of them a table has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from harness.data.modality import modalities
from harness.data.sources.names import one_form
from harness.errors import DataError, did_you_mean


def columns_needed(preprocessing: Mapping[str, Any]) -> list[str]:
    """Return the columns of a table that are learnt from."""
    return modalities[preprocessing["inputs"]].columns(preprocessing)


def check_columns(preprocessing: Mapping[str, Any], names: Collection[str]) -> None:
    """Raise :class:`DataError` unless every column that is learnt from is among those of a table."""
    if missing := [name for name in columns_needed(preprocessing) if name not in names]:
        more = f" (and {len(missing) - 1} more: {', '.join(missing[1:])})" if len(missing) > 1 else ""
        raise DataError(f"column {missing[0]!r} is missing{more}{did_you_mean(missing[0], names)}")


def unknown_columns(preprocessing: Mapping[str, Any], names: Iterable[object]) -> list[str]:
    """Return those of a table's columns that its training data did not have, nor learn from; the target is known."""
    target = preprocessing["target"]
    known = {*preprocessing.get("columns", ()), target.get("name"), *target.get("names", ())}
    return [name for name in map(one_form, names) if name not in known]
