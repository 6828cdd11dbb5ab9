"""Reports of finished runs and benchmarks: files in, texts out.

Needs no torch, and of Optuna only PED-ANOVA, which is imported when it is computed. Names load on first use: a report
of a search needs nothing of those of benchmarks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.report.bench_page import build_bench, build_comparison, write_bench_report
    from harness.report.classical import bought
    from harness.report.compare_page import build_compare, write_comparison
    from harness.report.compare_tasks import build_tasks, write_tasks
    from harness.report.doubts import ResultWarning, best_baseline, result_warnings
    from harness.report.figures import Plots
    from harness.report.findings import Findings, analyse
    from harness.report.formats import build
    from harness.report.load import RunFiles, load_run
    from harness.report.notebook import run_html, run_line
    from harness.report.ped_anova import PedAnova
    from harness.report.publish import write_report
    from harness.report.side_by_side import build_side_by_side, write_side_by_side
    from harness.report.statistics import Importances, headline, importances, ranked, summary_table

__all__ = [
    "Findings",
    "Importances",
    "PedAnova",
    "Plots",
    "ResultWarning",
    "RunFiles",
    "analyse",
    "best_baseline",
    "bought",
    "build",
    "build_bench",
    "build_compare",
    "build_comparison",
    "build_side_by_side",
    "build_tasks",
    "headline",
    "importances",
    "load_run",
    "ranked",
    "result_warnings",
    "run_html",
    "run_line",
    "summary_table",
    "write_bench_report",
    "write_comparison",
    "write_report",
    "write_side_by_side",
    "write_tasks",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bench_page": (
            "build_bench",
            "build_comparison",
            "write_bench_report",
        ),
        "classical": ("bought",),
        "formats": ("build",),
        "compare_page": (
            "build_compare",
            "write_comparison",
        ),
        "compare_tasks": (
            "build_tasks",
            "write_tasks",
        ),
        "figures": ("Plots",),
        "findings": (
            "Findings",
            "analyse",
        ),
        "load": (
            "RunFiles",
            "load_run",
        ),
        "notebook": (
            "run_html",
            "run_line",
        ),
        "ped_anova": ("PedAnova",),
        "publish": ("write_report",),
        "doubts": (
            "ResultWarning",
            "best_baseline",
            "result_warnings",
        ),
        "side_by_side": (
            "build_side_by_side",
            "write_side_by_side",
        ),
        "statistics": (
            "Importances",
            "headline",
            "importances",
            "ranked",
            "summary_table",
        ),
    },
)
