"""The report of a run as text, in each of its formats."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from harness.report.blocks import Content
from harness.report.charts import draw
from harness.report.content import write_content
from harness.report.findings import Findings, analyse
from harness.report.html import render_html
from harness.report.latex import render_latex
from harness.report.load import decoded, load_run
from harness.report.markdown import render_markdown
from harness.report.statistics import leading, summary_table
from harness.store import to_csv
from harness.text import plain

Format = Literal["md", "html", "csv", "tex", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
USUAL: tuple[Format, ...] = ("md", "html")
"""Those that every run folder holds."""


def build(run: Path, formats: Iterable[Format] = USUAL) -> dict[str, str]:
    """Return the texts of ``report.md`` and so on for a run folder, by their names; nothing is written.

    The same files give the same bytes. Raises :class:`InputError` when ``run`` is not a run folder and
    :class:`StorageError` when a file in it is missing or damaged.
    """
    findings = analyse(load_run(run))
    content = write_content(findings)
    writers = {
        "md": lambda: render_markdown(content),
        "html": lambda: render_html(content, draw(findings)),
        "csv": lambda: to_csv(_candidates(findings)),
        "tex": lambda: render_latex(content),
        "json": lambda: as_json(_facts(findings, content)),
    }
    return {f"report.{each}": writers[each]() for each in formats}


def as_json(value: Any) -> str:
    """Return plain data as an indented JSON document; NaN is null."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _ranked(findings: Findings) -> pd.DataFrame:
    best = findings.best
    return leading(best, findings.stats["best"], len(best), word=findings.chosen_word)


def _candidates(findings: Findings) -> pd.DataFrame:
    """Return the complete trials with all of their columns, the best first."""
    ranked = _ranked(findings)
    first = ["rank", "choice", "front"]
    return ranked[[*first, *(name for name in ranked if name not in first)]]


def _facts(findings: Findings, content: Content) -> dict[str, Any]:
    """Return what the report says as data: figures in full, under the names of columns and of ``stats.json``."""
    found, trials, stats = findings.importances, findings.run.trials, findings.stats
    rows = summary_table(trials, stats, limit=len(trials))
    params = decoded(_ranked(findings)["params"])
    return {
        "title": content.title,
        "verdict": content.verdict,
        "warnings": [{"code": alert.code, "text": alert.text} for alert in content.alerts],
        "candidates": [{**row, "params": each} for row, each in zip(rows, params, strict=True)],
        "importances": {
            "parameters": found.table.to_dict("records"),
            "explained": found.explained,
            "reason": found.reason,
        },
        "stats": stats,
    }
