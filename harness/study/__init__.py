"""The search: from a space to trials, their results, and the winner.

Names load on first use, so that a worker process loads no more than what it trains with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.study.callbacks import Callbacks, OnEpoch, OnTrial, StopSearch
    from harness.study.check import check_spec
    from harness.study.checks.examine import examine
    from harness.study.choices import replayed
    from harness.study.decide.idle import needed_where
    from harness.study.estimate import Estimate, estimate_costs, total_seconds
    from harness.study.execute.execution import Execution, at_once
    from harness.study.final.predictor import Predictor
    from harness.study.objectives import Objective
    from harness.study.observer import Observer, Observers
    from harness.study.part import Finished
    from harness.study.resuming import spec_to_resume
    from harness.study.schema import space_schema
    from harness.study.search import Opened, Request, open_search, run_search, spec_of_run
    from harness.study.stop import Stop
    from harness.study.warm_start import warm_started

__all__ = [
    "Callbacks",
    "Estimate",
    "Execution",
    "Finished",
    "Objective",
    "Observer",
    "Observers",
    "OnEpoch",
    "OnTrial",
    "Opened",
    "Predictor",
    "Request",
    "Stop",
    "StopSearch",
    "at_once",
    "check_spec",
    "estimate_costs",
    "examine",
    "needed_where",
    "open_search",
    "replayed",
    "run_search",
    "space_schema",
    "spec_of_run",
    "spec_to_resume",
    "total_seconds",
    "warm_started",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "callbacks": ("Callbacks", "OnEpoch", "OnTrial", "StopSearch"),
        "check": ("check_spec",),
        "checks.examine": ("examine",),
        "choices": ("replayed",),
        "estimate": (
            "Estimate",
            "estimate_costs",
            "total_seconds",
        ),
        "execute.execution": ("Execution", "at_once"),
        "final.predictor": ("Predictor",),
        "decide.idle": ("needed_where",),
        "objectives": ("Objective",),
        "observer": ("Observer", "Observers"),
        "part": ("Finished",),
        "schema": ("space_schema",),
        "search": (
            "Opened",
            "Request",
            "open_search",
            "run_search",
            "spec_of_run",
        ),
        "resuming": ("spec_to_resume",),
        "stop": ("Stop",),
        "warm_start": ("warm_started",),
    },
)
