"""Writing the report into its run folder."""

from __future__ import annotations

from pathlib import Path

from harness.report.build import build
from harness.store import check_run, refresh_manifest, write_file


def write_report(run: Path) -> list[Path]:
    """Build the report of a run from its records, write it, and renew its entries in the manifest.

    The same records give the same bytes. Raises :class:`InputError` when ``run`` is not a run folder and
    :class:`StorageError` when one of its files is missing or damaged, or the report cannot be written.
    """
    check_run(run)
    pages = build(run)
    for name, text in pages.items():
        write_file(run / name, text)
    refresh_manifest(run, pages)
    return [run / name for name in pages]
