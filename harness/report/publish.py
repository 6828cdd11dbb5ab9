"""The report of a run of any kind that is searched, trained or compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.report.formats import USUAL, Format, build
from harness.report.pages import write_own
from harness.store import check_run
from harness.store.runs import COMPARISON, DESIGN


def write_report(run: Path, formats: Iterable[Format] = USUAL, out: Path | None = None) -> list[Path]:
    """Build the report of a run, or of a comparison, from its records, write it, and renew its entries in the manifest.

    The same records give the same bytes. With ``out`` it is written to that folder, and the run is left as it is.
    Raises :class:`InputError` when ``run`` is not a run folder or a comparison without a look, or ``out`` is another
    run, and :class:`StorageError` when one of its files is missing or damaged, or the report cannot be written.
    """
    check_run(run)
    if any((run / name).is_file() for name in (COMPARISON, DESIGN)):
        from harness.report.compare_page import write_comparison

        return write_comparison(run, formats, out)
    return write_own(build(run, formats), run, out)
