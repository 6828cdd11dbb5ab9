"""The run folder: one command's results, owned by one process at a time."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import InputError, StorageError
from harness.store.files import read_json, sha256_file, storage_errors, write_file, write_json

SCHEMA_VERSION = 1

MANIFEST = "manifest.json"


class RunFolder:
    """A folder under ``results/`` that this process has locked.

    ``manifest.json`` is written last and holds the sha256 of every other file, so a run without one is unfinished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Beside the files of the run, not among them: the lock is no result.
        self._lock = FileLock(str(path / ".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"{path}: another harness process is writing to this run; wait for it or stop it"
            ) from None
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error

    @classmethod
    def create(cls, parent: Path, task: str) -> RunFolder:
        """Make a new folder ``<time>-<task>-<id>`` under ``parent``. Raises :class:`StorageError`."""
        slug = re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-") or "task"
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug[:40]}-{secrets.token_hex(2)}"
        with storage_errors(parent / name):
            parent.mkdir(parents=True, exist_ok=True)
            (parent / name).mkdir()
        return cls(parent / name)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run to go on with it. Raises :class:`InputError` when it is none."""
        check_run(path)
        return cls(path)

    def file(self, name: str) -> Path:
        """Return the path of a file of the run, its folder made if need be."""
        path = self.path / name
        if path.parent != self.path:
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, content: bytes | str) -> None:
        """Write one file whole."""
        write_file(self.file(name), content)

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file whole."""
        write_json(self.file(name), value)

    def set_state(self, state: str, **facts: Any) -> None:
        """Record in ``status.json`` what the run is doing (running, interrupted, complete, failed), and who does it."""
        self.write_json("status.json", {"state": state, "pid": os.getpid(), "boot_id": _boot_id(), **facts})

    def remove(self, name: str) -> None:
        """Remove one file; it need not be there."""
        with storage_errors(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def unseal(self) -> None:
        """Remove the manifest of an earlier part: the run is no longer finished."""
        self.remove(MANIFEST)

    def close(self) -> None:
        """Give the folder back."""
        self._lock.release()


def check_run(path: Path) -> None:
    """Raise :class:`InputError` unless ``path`` is a run folder of a schema that this version reads."""
    if not path.exists():
        raise InputError(f"{path}: no such run; `ls results` shows the runs of this folder")
    if not (path / "status.json").is_file():
        raise InputError(f"{path}: not a run folder (no status.json in it)")


def listing(path: Path) -> list[str]:
    """Return the names of a run's files, sorted; the manifest and the lock are not among them."""
    files = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    names = (file.relative_to(path).as_posix() for file in files)
    return sorted(name for name in names if name != MANIFEST)


def seal(path: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json``, the last file of a run, with the sha256 of all others."""
    files = {name: sha256_file(path / name) for name in listing(path)}
    write_json(path / MANIFEST, {"schema_version": SCHEMA_VERSION, **facts, "files": files})


def refresh_manifest(path: Path, names: Iterable[str]) -> None:
    """Renew the sha256 of files that were rebuilt; a run without a manifest stays without one."""
    if not (path / MANIFEST).is_file():
        return
    manifest = read_json(path / MANIFEST)
    files = {**manifest["files"], **{name: sha256_file(path / name) for name in names}}
    if files != manifest["files"]:
        write_json(path / MANIFEST, {**manifest, "files": files})


def _boot_id() -> str | None:
    """Tell boots apart, so that a stale process id is not taken for a live one (Linux only)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
