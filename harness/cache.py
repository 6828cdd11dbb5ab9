"""The user's cache: what can be had again, and is lost without harm."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return the user's folder for it, ``$XDG_CACHE_HOME/harness``; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness"
