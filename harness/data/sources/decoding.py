"""How the bytes of a file become characters, and what is said where they do not."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from harness.errors import DataError

UTF_8 = "utf-8"
"""The encoding of files whose task names none."""


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a file; the mark that may stand before UTF-8 is no part of the text."""
    return path.open(encoding="utf-8-sig" if is_utf_8(encoding) else encoding)


@contextmanager
def text_errors(path: Path, encoding: str = UTF_8) -> Iterator[None]:
    """Turn what is wrong with the bytes of a text into one line of :class:`DataError`."""
    try:
        yield
    except UnicodeError as error:
        reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        if is_utf_8(encoding):
            fix = "save it as UTF-8, or say its `encoding:`, such as latin-1"
        else:
            fix = "correct `encoding:`"
        raise DataError(f"{path}: is not {encoding.upper()} text ({reason}); {fix}") from None


def is_utf_8(encoding: str) -> bool:
    """Tell whether an encoding is UTF-8 by whatever name."""
    return codecs.lookup(encoding).name == UTF_8
