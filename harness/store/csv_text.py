"""Frames as CSV for people, whose spreadsheets run a cell that begins as a formula does.

A text that begins with ``=``, ``+``, ``-``, ``@``, their wide forms, a tab or the end of a line gets an apostrophe
before it (OWASP, CSV injection); a text with apostrophes before such a sign gets one more, so that taking the first one
away gives every text back. Numbers stay numbers, those too that are a text in a column of texts.
"""

from __future__ import annotations

import re

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20\t\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV text, with a head and without its index; a spreadsheet runs none of its cells."""
    texts = {str(name): column.map(harmless) for name, column in frame.items() if not _numeric(column)}
    return frame.assign(**texts).rename(columns=harmless).to_csv(index=False, lineterminator="\n")


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; what is no text, or a number, is left alone.

    Every end of a line becomes a line feed: readers end a row at a carriage return, which pandas does not quote.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype)
