"""The parts of a run: each command that worked on it, when it began, on which machine and in which environment.

A run may be begun on one machine and resumed on another. ``hardware.json`` and ``environment.json`` are of the last
part; ``parts/0001.json`` and so on keep those of every part, and are never written again.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import StorageError
from harness.store.files import read_object
from harness.store.run import RunFolder

PARTS = "parts"
HARDWARE, ENVIRONMENT = "hardware.json", "environment.json"
_NAME = re.compile(r"(\d{4,9})\.json")


def part_files(run: Path) -> dict[int, Path]:
    """Return the file of each part of a run by its number, in their order; none for runs of versions before parts."""
    found = ((match, path) for path in (run / PARTS).glob("*.json") if (match := _NAME.fullmatch(path.name)))
    return dict(sorted((int(match[1]), path) for match, path in found))


def begin_part(folder: RunFolder, hardware: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
    """Write down where a part of the run is carried out, beside what is known of earlier ones.

    A diff to the git commit that an earlier part had too is left to that one. Raises :class:`StorageError`.
    """
    known = part_files(folder.path)
    if not known and (earlier := _before_parts(folder.path)):
        folder.write_json(_file(1), earlier)
        known = part_files(folder.path)
    part = {"begun_unix_s": time.time(), "hardware": hardware, "environment": _brief(environment, known)}
    folder.write_json(_file(max(known, default=0) + 1), part)
    folder.write_json(HARDWARE, hardware)
    folder.write_json(ENVIRONMENT, environment)


def _file(number: int) -> str:
    return f"{PARTS}/{number:04d}.json"


def _before_parts(run: Path) -> dict[str, Any]:
    """Return what a version that kept no parts has left of the last one, or nothing where that is damaged."""
    with contextlib.suppress(StorageError):
        if (run / HARDWARE).is_file() and (run / ENVIRONMENT).is_file():
            found = {"hardware": read_object(run / HARDWARE), "environment": read_object(run / ENVIRONMENT)}
            return {"begun_unix_s": None, **found}
    return {}


def _brief(environment: Mapping[str, Any], known: Mapping[int, Path]) -> Mapping[str, Any]:
    """Return the environment without a diff that is in the file of an earlier part."""
    git = environment.get("git")
    if not git or git.get("diff_sha256") not in {_diff_of(path) for path in known.values()}:
        return environment
    return {**environment, "git": {key: value for key, value in git.items() if key != "diff"}}


def _diff_of(path: Path) -> str | None:
    """Return the digest of the diff that a part's file holds; None where it holds none, or is damaged."""
    with contextlib.suppress(StorageError):
        environment = read_object(path).get("environment")
        git = environment.get("git") if isinstance(environment, dict) else None
        if isinstance(git, dict) and git.get("diff") is not None:
            return str(git.get("diff_sha256"))
    return None
