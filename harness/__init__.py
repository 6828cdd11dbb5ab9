"""harness: hardware-aware benchmark and AutoML on the machine in front of you.

``harness.search("digits", trials=5)`` does what ``harness search digits --trials 5`` does, and ``harness.load(RUN)`` is
the final model of a run; docs/api.md has all that is public.
Names load on first use, so importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.api import SearchResult, load, open_run, search
    from harness.comparison import compare
    from harness.deciding import set_threshold
    from harness.ensembling import ensemble
    from harness.estimators import HarnessClassifier, HarnessRegressor
    from harness.exporting import export
    from harness.integrity import Finding, Packed, Unpacked, Verification, pack, unpack, verify
    from harness.refitting import refit
    from harness.report.compare_result import ComparisonResult
    from harness.reproduction import Reproduction, reproduce
    from harness.study import Observer, Predictor, StopSearch
    from harness.training import train_candidate

__version__ = "0.1.0"

__all__ = [
    "ComparisonResult",
    "Finding",
    "HarnessClassifier",
    "HarnessRegressor",
    "Observer",
    "Packed",
    "Predictor",
    "Reproduction",
    "SearchResult",
    "StopSearch",
    "Unpacked",
    "Verification",
    "__version__",
    "compare",
    "ensemble",
    "export",
    "load",
    "open_run",
    "pack",
    "refit",
    "reproduce",
    "search",
    "set_threshold",
    "train_candidate",
    "unpack",
    "verify",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "api": ("SearchResult", "load", "open_run", "search"),
        "comparison": ("compare",),
        "exporting": ("export",),
        "estimators": ("HarnessClassifier", "HarnessRegressor"),
        "ensembling": ("ensemble",),
        "deciding": ("set_threshold",),
        "refitting": ("refit",),
        "integrity": ("Finding", "Packed", "Unpacked", "Verification", "pack", "unpack", "verify"),
        "report.compare_result": ("ComparisonResult",),
        "reproduction": ("Reproduction", "reproduce"),
        "study": ("Observer", "Predictor", "StopSearch"),
        "training": ("train_candidate",),
    },
)
