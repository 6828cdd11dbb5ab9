"""Reports of finished runs: the files of a run folder in, Markdown and HTML out; needs neither torch nor optuna."""

from __future__ import annotations

from harness.report.build import build
from harness.report.findings import Findings, Interval, analyse
from harness.report.load import RunFiles, load_run
from harness.report.publish import write_report
from harness.report.statistics import Importances, importances, pareto_front, ranked, summary_table

__all__ = [
    "Findings",
    "Importances",
    "Interval",
    "RunFiles",
    "analyse",
    "build",
    "importances",
    "load_run",
    "pareto_front",
    "ranked",
    "summary_table",
    "write_report",
]
