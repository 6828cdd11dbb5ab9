"""``harness.unpack``: a run out of a zip file that may come from anyone; nothing of a refused one is left behind."""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from harness.errors import InputError, first_line
from harness.integrity.entries import CRATE, check_entries
from harness.integrity.files import digests_of, manifest_findings
from harness.integrity.packing import PIECE, check_whole
from harness.store import storage_errors
from harness.store.files import is_file
from harness.store.run import MANIFEST
from harness.store.runs import is_run

MALFORMED = (BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError)
"""What a zip file that is cut off, damaged or made to mislead leads to."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A run that was unpacked.

    >>> import harness
    >>> unpacked = harness.unpack(harness.pack(run, "whole.zip").file, "copy")
    >>> unpacked.run.name, unpacked.sealed, harness.verify("copy").state
    ('copy', True, 'intact')
    """

    run: Path
    files: int
    sealed: bool
    """Whether the run has a manifest, and so is known to be what it was."""


def unpack(file: str | Path, out: str | Path | None = None) -> Unpacked:
    """Unpack a run that :func:`harness.pack` packed, and check every file against its manifest.

    ``out`` is the folder to make, by default that of the file's name under ``results``. Names that lead elsewhere,
    links, duplicates, encrypted entries and what would become far larger than it is are refused before anything is
    written; the folder appears under its name when all of it is there.

    >>> import harness
    >>> harness.unpack(harness.pack(run, "one.zip").file, "of-one").files == harness.verify(run).files + 1
    True

    Raises :class:`InputError` for what is no packed run, and for a folder that is there; and :class:`StorageError` for
    one that is damaged, and where it cannot be written.
    """
    source = Path(file)
    target = Path(out) if out is not None else Path("results", source.stem)
    with storage_errors(target):
        if target.exists() or target.is_symlink():
            raise InputError(f"{target}: is there already; name another folder with --out")
    with _opened(source) as archive:
        check_entries(archive.infolist(), source)
        wanted = [entry for entry in archive.infolist() if entry.filename != CRATE]
        with _folder_beside(target) as folder:
            for entry in wanted:
                _extract(archive, entry, folder / entry.filename, target / entry.filename)
            if not is_run(folder):
                raise InputError(f"{source}: holds no run at its top; `harness pack` makes one that does")
            check_whole(source, manifest_findings(folder, digests_of(folder)))
            with storage_errors(target):
                folder.rename(target)
    return Unpacked(target, len(wanted), is_file(target / MANIFEST))


@contextmanager
def _opened(source: Path) -> Iterator[ZipFile]:
    """Open a zip file; whatever is wrong with it is told in one line."""
    with storage_errors(source):
        if not source.exists():
            raise InputError(f"{source}: no such file; name one that `harness pack` wrote")
        if not source.is_file():
            raise InputError(f"{source}: not a file; name one that `harness pack` wrote")
    try:
        with storage_errors(source), ZipFile(source) as archive:
            yield archive
    except MALFORMED as error:
        raise InputError(f"{source}: not a zip file, cut off or damaged ({first_line(error)}); copy it again") from None


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """Yield a new folder to fill under another name; unless it is renamed, nothing stays of it or the folders above."""
    made = [path for path in (target.parent, *target.parent.parents) if not path.exists()]
    folder = target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with storage_errors(target):
            folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            with suppress(OSError):  # it holds the run
                path.rmdir()


def _extract(archive: ZipFile, entry: ZipInfo, path: Path, named: Path) -> None:
    """Write an entry to ``path``, which messages call ``named``. Raises :class:`StorageError`, of a full disk say."""
    with archive.open(entry) as packed, storage_errors(named):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            left = entry.file_size
            while piece := packed.read(PIECE):
                left -= len(piece)
                if left < 0:
                    raise InputError(f"{named.name}: is larger than the zip file says")
                file.write(piece)
