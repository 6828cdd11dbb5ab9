"""Texts as they were read, before they are cut into tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.spec.text_reading import TextReading


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts of samples, none of them missing, and how they are to become tokens.

    >>> texts = Texts(pd.Series(["short", "a long one"]), TextReading())
    >>> len(texts), list(texts.only(np.array([1])).values)
    (2, ['a long one'])
    """

    values: pd.Series
    """Text (N,), numbered from 0."""
    how: TextReading
    column: str = "text"
    """What they are called in a table of new samples."""

    def __len__(self) -> int:
        return len(self.values)

    def only(self, rows: np.ndarray) -> Texts:
        """Return some of them."""
        return Texts(self.values.iloc[rows].reset_index(drop=True), self.how, self.column)


def text_series(texts: Iterable[str]) -> pd.Series:
    """Return texts as a series; what stands for half a character becomes a question mark."""
    return pd.Series([text.encode("utf-8", "replace").decode() for text in texts], dtype="str")
