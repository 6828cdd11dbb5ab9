"""Values of a column as text: what is text, what stands for a missing value, and what differs in writing alone."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_numeric_dtype, is_object_dtype, is_string_dtype

from harness.data.numbers import looks_missing

_TEXTS = {"string", "empty"}
_SHOWN = 3
_WHOLE = re.compile(r"([+-]?\d+)\.0+(?![\d,])")
_ONLY_WHOLE = re.compile(r"^([+-]?\d+)\.0*$")


def row_of(row: int) -> str:
    """Say where a row stands in what has no lines."""
    return f"row {row + 1}"


def as_text(column: pd.Series) -> np.ndarray:
    """Return the values as an object array of text, None where missing.

    Whole floats lose their ``.0``: an integer column that became float because of a missing value keeps its categories.
    """
    texts = np.empty(len(column), dtype=object)
    missing = column.isna().to_numpy()
    for row, value in enumerate(column.tolist()):
        if not missing[row]:
            texts[row] = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return texts


def is_text(column: pd.Series) -> bool:
    """Tell whether a column holds text, or nothing."""
    kind = is_object_dtype(column.dtype) or is_string_dtype(column.dtype)
    return kind and infer_dtype(column, skipna=True) in _TEXTS


def with_missing(column: pd.Series, words: Sequence[str]) -> pd.Series:
    """Return a column in which empty text, and the words that stand for it, are missing; ``-999`` is ``-999.0`` too."""
    numbers = [word for word in words if _is_number(word)]
    if is_text(column) and len(column):
        stripped = column.str.strip()
        missing = (stripped == "") | stripped.isin(words)
        if numbers:
            wholes = {_ONLY_WHOLE.sub(r"\1", word) for word in numbers}
            missing |= stripped.str.replace(_ONLY_WHOLE, r"\1", regex=True).isin(wholes)
        return column.mask(missing)
    if numbers and is_numeric_dtype(column.dtype):
        return column.mask(column.isin([float(word) for word in numbers]))
    return column


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def equal_numbers_alike(texts: np.ndarray) -> np.ndarray:
    """Return texts, of which those of whole numbers lose their ``.0``."""
    return np.array([text if text is None else _WHOLE.sub(r"\1", text.strip()) for text in texts], dtype=object)


def label_remarks(texts: Iterable[str | None], what: str) -> Iterable[str]:
    """Yield what is odd among the texts of classes or categories: words for missing values, and near doubles."""
    present = pd.Series([text for text in texts if text is not None], dtype=object)
    words = looks_missing(present)
    if words:
        counted = ", ".join(f"{word!r} ({count:,} times)" for word, count in words.items())
        listed = ", ".join(f'"{word}"' for word in words)
        yield f"has {what} that often stand for a missing value: {counted}; if so, say `missing: [{listed}]`"
    alike = defaultdict(list)
    for text in sorted(set(present)):
        alike[folded(text)].append(text)
    doubles = [group for group in alike.values() if len(group) > 1]
    if doubles:
        shown = "; ".join(", ".join(map(reprlib.repr, group)) for group in doubles[:_SHOWN])
        more = f" and {len(doubles) - _SHOWN} more" if len(doubles) > _SHOWN else ""
        yield f"has {what} that differ only in case, blanks or the composition of letters: {shown}{more}"


def folded(text: str) -> str:
    """Return what two writings of one word have in common."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
