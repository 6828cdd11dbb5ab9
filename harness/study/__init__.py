"""The search: from a space to trials, their results, and the winner."""

from harness.study.check import check_spec
from harness.study.coordinator import Observer
from harness.study.estimate import Estimate, estimate_costs, total_seconds
from harness.study.part import Finished
from harness.study.schema import space_schema
from harness.study.search import Request, open_job, run_search, spec_to_resume
from harness.study.stop import Stop

__all__ = [
    "Estimate",
    "Finished",
    "Observer",
    "Request",
    "Stop",
    "check_spec",
    "estimate_costs",
    "open_job",
    "run_search",
    "space_schema",
    "spec_to_resume",
    "total_seconds",
]
