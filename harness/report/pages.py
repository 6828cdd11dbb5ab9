"""Writing the texts of a report: into the run that they are of, or where they are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import InputError
from harness.store import refresh_manifest, storage_errors, write_file
from harness.store.runs import is_run


def write_own(pages: Mapping[str, str], run: Path, out: Path | None = None) -> list[Path]:
    """Write texts into their run, with its manifest renewed, or into ``out``, with the run left as it is."""
    if out is not None and out.resolve() != run.resolve():
        return write_pages(pages, out)
    written = _write(pages, run)
    refresh_manifest(run, pages)
    return written


def write_pages(pages: Mapping[str, str], folder: Path) -> list[Path]:
    """Write texts under their names into a folder, which is made where it is not there.

    Raises :class:`InputError` where it is a run, or a folder in one: what is in there is the run's own.
    """
    with storage_errors(folder):
        place = folder.resolve()
    if run := next((each for each in (place, place.parent) if is_run(each)), None):
        raise InputError(f"{folder}: belongs to the run {run.name}; name another folder with --out")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return _write(pages, folder)


def _write(pages: Mapping[str, str], folder: Path) -> list[Path]:
    for name, text in pages.items():
        write_file(folder / name, text)
    return [folder / name for name in pages]
