"""Writing reports: into their run folder, or where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.report.build import USUAL, Format, build
from harness.report.compare_page import FILE as COMPARISON
from harness.report.compare_page import build_compare
from harness.store import check_run, refresh_manifest, storage_errors, write_file


def write_report(run: Path, formats: Iterable[Format] = USUAL, out: Path | None = None) -> list[Path]:
    """Build the report of a run, or of a comparison, from its records, write it, and renew its entries in the manifest.

    The same records give the same bytes. With ``out`` it is written to that folder, and the run is left as it is.
    Raises :class:`InputError` when ``run`` is not a run folder and :class:`StorageError` when one of its files is
    missing or damaged, or the report cannot be written.
    """
    check_run(run)
    pages = build_compare(run) if (run / COMPARISON).is_file() else build(run, formats)
    written = write_pages(pages, out or run)
    if out is None or out.resolve() == run.resolve():
        refresh_manifest(run, pages)
    return written


def write_pages(pages: Mapping[str, str], folder: Path) -> list[Path]:
    """Write texts under their names into a folder, which is made where it is not there."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_file(folder / name, text)
    return [folder / name for name in pages]
