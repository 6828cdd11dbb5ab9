"""harness: hardware-aware benchmark and AutoML on the machine in front of you.

``harness.search("digits", trials=5)`` does what ``harness search digits --trials 5`` does; see :mod:`harness.api`.
Names load on first use, so importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import SearchResult, search

__all__ = ["SearchResult", "search"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness import api

    return getattr(api, name)
