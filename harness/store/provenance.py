"""Where a run came from: versions, command, git state, and the machine without its identifiers."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import harness

PACKAGES = (
    "cmaes",
    "numpy",
    "nvidia-ml-py",
    "optuna",
    "pandas",
    "plotly",
    "pydantic",
    "scikit-learn",
    "scipy",
    "torch",
)
_MAX_DIFF_BYTES = 1 << 20
_FIELD = re.compile(r"^(Name|Version): *(.*?) *$", re.MULTILINE)


def environment(argv: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the versions and the git state that a run was made with.

    ``folder`` is where the command was started: a user's own models and data descriptions live there.
    """
    versions = {name: version(name) for name in PACKAGES}
    return {
        "harness": harness.__version__,
        "python": sys.version.split()[0],
        "packages": versions,
        "lock_sha256": _lock_sha256(),
        "argv": list(argv),
        "git": git_state(folder),
    }


def version(package: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and uncommitted diff of the repository around ``folder``; None where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD") or ""
    kept = diff if len(diff.encode()) <= _MAX_DIFF_BYTES else None
    return {
        "commit": commit.strip(),
        "dirty": bool(diff),
        "diff_sha256": hashlib.sha256(diff.encode()).hexdigest(),
        "diff": kept,
    }


@cache
def _lock_sha256() -> str:
    """Return the digest of the names and versions of all installed distributions."""
    installed = [_name_and_version(item) for item in metadata.distributions()]
    return hashlib.sha256(repr(sorted(installed)).encode()).hexdigest()


def _name_and_version(item: metadata.Distribution) -> tuple[str, str]:
    """Return the first lines of a distribution's own description, which is long, and slow to be read whole."""
    text = item.read_text("METADATA") or item.read_text("PKG-INFO") or ""
    found = dict(_FIELD.findall(text.partition("\n\n")[0]))
    return found.get("Name", ""), found.get("Version", "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=10,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
