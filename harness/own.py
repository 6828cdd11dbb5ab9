"""A function of the user's own, named as ``package.module:function``.

Importing it runs the user's code, so it happens only when trusted; a space file from elsewhere must not run anything.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import reduce
from typing import Any

from harness.errors import InputError, described

_PATH = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*)")


def check_path(path: object, where: str) -> re.Match[str]:
    """Return the path's match, with groups ``module`` and ``name``; raise InputError when it has not that form."""
    match = _PATH.fullmatch(path) if isinstance(path, str) else None
    if match is None:
        raise InputError(f"{where}: expected 'package.module:function', got {path!r}")
    return match


def import_function(path: object, where: str, *, trust: bool) -> Callable[..., Any]:
    """Import the user's function; ``where`` is the key that names it. Raises :class:`InputError`."""
    match = check_path(path, where)
    if not trust:
        raise InputError(
            f"{where}: {match[0]!r} is not imported, because that runs its code; "
            "if you trust it, allow that with --trust (in Python: trust=True)"
        )
    try:
        module = importlib.import_module(match["module"])
    except Exception as error:
        raise InputError(
            f"{where}: cannot import {match['module']!r}: {described(error)}; is it installed or on PYTHONPATH?"
        ) from error
    try:
        function = reduce(getattr, match["name"].split("."), module)
    except AttributeError:
        raise InputError(f"{where}: module {match['module']!r} has no attribute {match['name']!r}") from None
    if not callable(function):
        raise InputError(f"{where}: {match[0]} is not callable, it is a value of type {type(function).__name__}")
    return function


def path_of(function: Callable[..., Any], name: str) -> str:
    """Return the path of a function; of one that cannot be imported, such as a lambda, one that ends in ``name``."""
    module = getattr(function, "__module__", "__main__")
    path = f"{module}:{getattr(function, '__qualname__', name)}"
    return path if _PATH.fullmatch(path) else f"{module}:{name}"
