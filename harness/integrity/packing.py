"""``harness.pack``: a run as one zip file; equal runs give equal bytes."""

from __future__ import annotations

import json
import stat
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from harness.errors import InputError, StorageError
from harness.integrity.checking import check_idle
from harness.integrity.crate import crate
from harness.integrity.entries import CRATE, RATIO, SMALL, check_names
from harness.integrity.files import digests_of, manifest_findings
from harness.integrity.findings import Finding
from harness.store import sha256_file, storage_errors
from harness.store.files import beside, is_file
from harness.store.run import MANIFEST
from harness.text import plain

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: the first that the format knows."""
PIECE = 1 << 20
DENSE = (".parquet", ".safetensors", ".png")
"""What deflate makes hardly smaller."""
WHOLE = 64 << 20
"""Bytes of a file that is read at once to be compressed; a larger one is stored as it is."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A run in one file.

    >>> import harness
    >>> packed = harness.pack(run, "run.zip")
    >>> packed.file.name, packed.sealed
    ('run.zip', True)
    """

    file: Path
    files: int
    """Of the run."""
    sealed: bool
    """Whether the run has a manifest, so that who unpacks it can tell that it is whole."""
    sha256: str
    """Of the zip file."""


def pack(run: str | Path, out: str | Path | None = None, *, force: bool = False) -> Packed:
    """Write a run as one zip file, to be handed on; equal runs give equal bytes with one version of zlib.

    ``out`` is the file, by default that of the run's name in the current folder; one that is there is replaced only
    with ``force``. Beside the run it holds ``ro-crate-metadata.json``, which says in RO-Crate's terms what is in it.

    >>> import harness
    >>> harness.pack(run, "again.zip").sha256 == harness.pack(run, "once-more.zip").sha256
    True

    Raises :class:`InputError` where there is no run or the file is there, and :class:`StorageError` for a run that is
    damaged by its manifest, or where the file cannot be written.
    """
    folder = Path(run)
    check_idle(folder)
    file = Path(out) if out is not None else Path(f"{folder.resolve().name}.zip")
    _check_target(file, folder, force=force)
    digests = digests_of(folder)
    check_whole(folder, manifest_findings(folder, digests))
    sealed = is_file(folder / MANIFEST)
    if sealed:
        digests[MANIFEST] = sha256_file(folder / MANIFEST)
    check_names((*digests, CRATE), folder)
    described = json.dumps(plain(crate(folder, digests)), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with beside(file) as temporary:
        with ZipFile(temporary, "x") as archive:
            for name in sorted(digests):
                _add(archive, name, folder / name)
            archive.writestr(_entry(CRATE), described.encode())
        temporary.replace(file)
    return Packed(file, len(digests), sealed, sha256_file(file))


def check_whole(run: Path, findings: Iterable[Finding]) -> None:
    """Raise :class:`StorageError` where a run is not what it was sealed with."""
    found = list(findings)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise StorageError(f"{run}: is damaged: {found[0].file} {found[0].what}{more}; `harness verify` names all")


def _check_target(file: Path, run: Path, *, force: bool) -> None:
    with storage_errors(file):
        if file.resolve().is_relative_to(run.resolve()):
            raise InputError(f"{file}: is in the run itself; name a file elsewhere with --out")
        if file.is_dir():
            raise InputError(f"{file}: is a folder; name a file with --out, such as {file / 'run.zip'}")
        if file.exists() and not force:
            raise InputError(f"{file}: is there already; name another file with --out, or replace it with --force")


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, EPOCH)
    entry.compress_type = ZIP_DEFLATED
    entry.create_system = 3  # Unix, on every system alike
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _add(archive: ZipFile, name: str, path: Path) -> None:
    """Add a file, compressed where that is of use, and never so much that it would be taken for a bomb."""
    entry = _entry(name)
    with storage_errors(path), path.open("rb") as file:
        size = path.stat().st_size
        if path.suffix not in DENSE and size <= WHOLE:
            data = file.read()
            if len(data) > SMALL and len(data) > RATIO / 2 * len(zlib.compress(data)):
                entry.compress_type = ZIP_STORED
            archive.writestr(entry, data)
            return
        entry.compress_type, entry.file_size = ZIP_STORED, size
        with archive.open(entry, "w") as target:
            while piece := file.read(PIECE):
                target.write(piece)
