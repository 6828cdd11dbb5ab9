"""The report of a run as text."""

from __future__ import annotations

from pathlib import Path

from harness.report.charts import draw
from harness.report.content import write_content
from harness.report.findings import analyse
from harness.report.html import render_html
from harness.report.load import load_run
from harness.report.markdown import render_markdown


def build(run: Path) -> dict[str, str]:
    """Return the texts of ``report.md`` and ``report.html`` for a run folder; nothing is written.

    The same files give the same bytes. Raises :class:`InputError` when ``run`` is not a run folder and
    :class:`StorageError` when a file in it is missing or damaged.
    """
    findings = analyse(load_run(run))
    content = write_content(findings)
    return {"report.md": render_markdown(content), "report.html": render_html(content, draw(findings))}
