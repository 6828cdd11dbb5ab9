"""Where a run came from, as reports tell it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from harness.report.blocks import Code
from harness.report.wording import setting


def command(environment: Mapping[str, Any], call: str = "harness.search") -> Code | None:
    """Return what asked for a run: a command, or a call from Python of the function ``call``."""
    argv = [str(word) for word in environment.get("argv") or []]
    if argv:
        return Code("sh", shlex.join([PurePath(argv[0]).name, *argv[1:]]))
    asked = environment.get("asked")
    if not isinstance(asked, dict):
        return None
    words = [f"{name}={value if name == 'data' else repr(value)}" for name, value in asked.items()]
    return Code("python", f"{call}({', '.join(words)})")


def versions(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the versions that a run was made with."""
    git = environment.get("git") or {}
    dirty = ", with uncommitted changes" if git.get("dirty") else ""
    return [
        ("harness", setting(environment.get("harness"))),
        ("Python", setting(environment.get("python"))),
        ("git commit", f"{setting(git.get('commit'))}{dirty}" if git else "not from a git checkout"),
    ]
