"""Values and texts in the form that JSON and UTF-8 can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Return ``value`` as strict JSON can hold it: NaN and infinity become None, tuples lists, keys strings.

    Text is made :func:`readable`.
    """
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {readable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def readable(text: str) -> str:
    r"""Return text that UTF-8 can hold: the stray bytes that Python keeps of a file's name become escapes as ``\xff``.

    Names that are UTF-8 after all, in a locale that is not, become themselves.
    """
    try:
        data = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair, which stands for no byte
        data = text.encode(errors="backslashreplace")
    return data.decode(errors="backslashreplace")
