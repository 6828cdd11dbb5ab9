"""harness: hardware-aware benchmark and AutoML on the machine in front of you.

``harness.search("digits", trials=5)`` does what ``harness search digits --trials 5`` does; see :mod:`harness.api`.
Names load on first use, so importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.api import SearchResult, search

    __version__: str
    """Of the installed package."""

__all__ = ["SearchResult", "__version__", "search"]

_load, _names = lazy_names(__name__, {"api": ("SearchResult", "search")})


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _load(name)
    from importlib.metadata import version

    return version(__name__)


def __dir__() -> list[str]:
    return sorted({*_names(), "__version__"})
