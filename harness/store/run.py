"""The run folder: one command's results, owned by one process at a time.

A run folder may come from elsewhere. Before anything in it is read or written it must be what this program leaves:
plain files and folders, with no link that leads out of it and no pipe that waits for a writer.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import InputError, StorageError
from harness.store.files import TEMPORARY, damaged, read_object, sha256_file, storage_errors, write_file, write_json

SCHEMA_VERSION = 1

MANIFEST = "manifest.json"
STATUS = "status.json"
LOCK = ".lock"

_IN_PLACE = (LOCK, "study.db", "study.db-journal", "study.db-shm", "study.db-wal")
"""Files that are written where they are, not replaced: under another name of theirs they would change as well."""


class Status(TypedDict, total=False):
    """What ``status.json`` says of a run; other facts in it are left alone."""

    state: str
    pid: int
    boot_id: str | None
    fingerprint: str
    """Of the data."""
    spec_sha256: str
    """Of everything that decides the trials."""
    grows_to: str | None
    """The same of a space that has grown, while it is put in place of the earlier one, else None."""
    remarks: list[str]
    """What is to be told of how the trials came about."""
    elapsed_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    test_opened: Annotated[int, Field(ge=0)]
    storage: str | None
    """URL of the study's database, without its password; None: a file of the run."""


class RunFolder:
    """A folder under ``results/`` that this process has locked.

    ``manifest.json`` is written last and holds the sha256 of every other file, so a run without one is unfinished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_second_names(path)
        # Beside the files of the run, not among them: the lock is no result.
        self._lock = FileLock(str(path / LOCK))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"{path}: another harness process is writing to this run; wait for it or stop it"
            ) from None
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error

    @classmethod
    def create(cls, parent: Path, task: str, path: Path | None = None) -> RunFolder:
        """Make a new folder ``<time>-<task>-<id>`` under ``parent``, or ``path``. Raises :class:`StorageError`."""
        slug = re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-") or "task"
        path = path or parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{slug[:40]}-{secrets.token_hex(2)}"
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run to go on with it, and clear away what killed processes left half-written.

        Raises :class:`InputError` when it is none, and :class:`StorageError` when it cannot be trusted or locked.
        """
        check_run(path)
        folder = cls(path)
        try:
            for file in plain_files(path):
                if TEMPORARY.fullmatch(file.name):
                    folder.remove(file.relative_to(path).as_posix())
        except StorageError:
            folder.close()
            raise
        return folder

    def file(self, name: str) -> Path:
        """Return the path of a file of the run, its folder made if need be. Raises :class:`StorageError`."""
        path = _inside(self.path, name)
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
        self.write_json(STATUS, {"state": state, "pid": os.getpid(), "boot_id": boot_id(), **facts})

    def note(self, **facts: Any) -> None:
        """Change these facts in ``status.json``, and leave the others."""
        self.write_json(STATUS, {**read_status(self.path), **facts})

    def remove(self, name: str) -> None:
        """Remove one file; it need not be there."""
        path = _inside(self.path, name)
        with storage_errors(path):
            path.unlink(missing_ok=True)

    def unseal(self) -> None:
        """Remove the manifest of an earlier part: the run is no longer finished."""
        self.remove(MANIFEST)

    def discard(self) -> None:
        """Remove a folder that was made in vain, before it held anything of a run."""
        with storage_errors(self.path):
            shutil.rmtree(self.path)

    def close(self) -> None:
        """Give the folder back."""
        self._lock.release()


def check_run(path: Path) -> None:
    """Raise :class:`InputError` unless ``path`` is a run folder, :class:`StorageError` unless it can be trusted."""
    with storage_errors(path):
        if not path.exists():
            raise InputError(f"{path}: no such run; `harness runs` lists those of results/")
        if not (path / STATUS).exists() and not (path / STATUS).is_symlink():
            raise InputError(f"{path}: not a run folder (no {STATUS} in it)")
    plain_files(path)
    read_status(path)


def read_status(path: Path) -> Status:
    """Return what ``status.json`` of the run ``path`` says. Raises :class:`StorageError` when it is damaged."""
    contents = read_object(path / STATUS)
    try:
        return _STATUS.validate_python(contents, strict=True)
    except ValidationError as error:
        raise damaged(path / STATUS, error) from None


def study_of(path: Path, storage: str | None) -> tuple[Path | str, str]:
    """Return where the study of the run ``path`` is, a file or the URL ``storage``, and what it is called there.

    What a run folder says of a server is told and not followed, since it may lie: raises :class:`InputError` where the
    study is on one and no URL is given.
    """
    known = read_status(path).get("storage")
    if known and storage is None:
        raise InputError(f"{path}: its study is in a database, {known!r}; if you trust it, give it as --storage")
    return (storage, path.resolve().name) if storage is not None else (path / "study.db", "harness")


def check_space(path: Path, spec_sha256: str) -> None:
    """Raise :class:`StorageError` when the run ``path`` was not made with the space of this hash.

    A ``space.yaml`` that was cut off may well be a space, of other trials.
    """
    status = read_status(path)
    if spec_sha256 not in (status.get("spec_sha256", spec_sha256), status.get("grows_to")):
        raise StorageError(
            f"{path / 'space.yaml'}: not the space that this run was made with (by {STATUS}); "
            "the file was changed or cut off: copy it again"
        )


def plain_files(path: Path) -> list[Path]:
    """Return all files below ``path``. Raises :class:`StorageError` where anything is neither a file nor a folder.

    No link is followed. A name that is not printable text is refused as well: no run has one, and it could not be
    written to the manifest.
    """
    files: list[Path] = []
    folders = [path]
    while folders:
        folder = folders.pop()
        with storage_errors(folder), os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.isprintable():
                    raise StorageError(f"{folder}: {entry.name!r} in it is no name of a file of a run; remove it")
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    files.append(Path(entry.path))
                else:
                    kind = "a link" if entry.is_symlink() else "a pipe, socket or device"
                    raise StorageError(
                        f"{entry.path}: {kind}; a run folder holds plain files and folders only: "
                        "remove it, or put a copy of what it stands for in its place"
                    )
    return files


def listing(path: Path) -> list[str]:
    """Return the names of a run's files, sorted; the manifest and the lock are not among them."""
    names = (file.relative_to(path).as_posix() for file in plain_files(path) if not file.name.startswith("."))
    return sorted(name for name in names if name != MANIFEST)


def seal(path: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json``, the last file of a run, with the sha256 of all others."""
    files = {name: sha256_file(path / name) for name in listing(path)}
    write_json(path / MANIFEST, {"schema_version": SCHEMA_VERSION, **facts, "files": files})


def check_schema(path: Path) -> None:
    """Raise :class:`StorageError` where the run ``path`` was sealed by a version whose files this one does not know."""
    if not (path / MANIFEST).is_file():
        return
    if (version := read_object(path / MANIFEST).get("schema_version")) != SCHEMA_VERSION:
        raise StorageError(
            f"{path / MANIFEST}: schema version {version!r}, this harness reads {SCHEMA_VERSION}; "
            "use the version of harness that environment.json names"
        )


def sealed_files(path: Path) -> dict[str, str]:
    """Return the sha256 of each file of the run ``path`` as its manifest has it; empty when it is not sealed.

    Raises :class:`StorageError` when the manifest is damaged or names anything outside the run.
    """
    if not (path / MANIFEST).is_file():
        return {}
    files = read_object(path / MANIFEST).get("files")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise StorageError(f"{path / MANIFEST}: `files` does not map names to digests; the file is damaged")
    for name in files:
        _inside(path / MANIFEST, name)
    return files


def changed_files(path: Path) -> list[str]:
    """Return the files of the run ``path`` that are gone, or not what they were when it was sealed.

    Raises :class:`StorageError` as :func:`sealed_files` does.
    """
    sealed = sealed_files(path)
    present = set(listing(path))
    return [name for name, digest in sealed.items() if name not in present or sha256_file(path / name) != digest]


def refresh_manifest(path: Path, names: Iterable[str]) -> None:
    """Renew the sha256 of files that were rebuilt; a run without a manifest stays without one.

    Raises :class:`StorageError` when the manifest is damaged, or names a file that is not in the run.
    """
    sealed = sealed_files(path)
    if not sealed:
        return
    if missing := sorted(set(sealed) - set(listing(path))):
        raise StorageError(f"{path / MANIFEST}: {missing[0]!r} is not in the run; copy the folder again")
    _reseal(path, sealed, {**sealed, **{name: sha256_file(_inside(path, name)) for name in names}})


def forget(path: Path, folder: str) -> None:
    """Take the files of a folder of the run out of its manifest, before they are replaced or removed."""
    sealed = sealed_files(path)
    _reseal(path, sealed, {name: digest for name, digest in sealed.items() if not name.startswith(f"{folder}/")})


def remember(path: Path, folder: str) -> None:
    """Put the files of a folder of the run into its manifest, as they are now. Raises as :func:`refresh_manifest`."""
    refresh_manifest(path, [name for name in listing(path) if name.startswith(f"{folder}/")])


def _reseal(path: Path, sealed: Mapping[str, str], files: Mapping[str, str]) -> None:
    if files != sealed:
        write_json(path / MANIFEST, {**read_object(path / MANIFEST), "files": files})


_STATUS = TypeAdapter(Status)


def _inside(folder: Path, name: str) -> Path:
    """Return the path of ``name`` in ``folder``; whatever would leave it is refused on every system alike."""
    parts = PureWindowsPath(name)
    if parts.anchor or ".." in parts.parts or not parts.parts or not name.isprintable():
        raise StorageError(f"{folder}: {name!r} is no name of a file in the run")
    return folder / name


def _refuse_second_names(path: Path) -> None:
    """Raise :class:`StorageError` where writing to the run would write to something outside it."""
    for name in _IN_PLACE:
        file = path / name
        with storage_errors(file):
            if file.is_symlink() or (file.is_file() and file.lstat().st_nlink > 1):
                raise StorageError(
                    f"{file}: a link, or a file with a second name elsewhere, which would be changed with it; "
                    "put a copy of the file in its place"
                )


def in_run(path: Path, run: Path) -> bool:
    """Tell whether a path leads into ``run``, or into any other run folder, whose files are sealed."""
    place = path.resolve()
    return place.is_relative_to(run.resolve()) or any((folder / STATUS).exists() for folder in place.parents)


def boot_id() -> str | None:
    """Tell boots apart, so that a stale process id is not taken for a live one (Linux only)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
