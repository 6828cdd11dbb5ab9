"""The hardware suite, and the comparison of two of its runs.

Names load on first use, so that results can be read without loading torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.bench.rows import SCHEMA_VERSION, Case, Row
from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.bench.frames import read_bench
    from harness.bench.schedule import LEVEL_S
    from harness.bench.suite import BenchObserver, run_suite

__all__ = ["LEVEL_S", "SCHEMA_VERSION", "BenchObserver", "Case", "Row", "read_bench", "run_suite"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"frames": ("read_bench",), "schedule": ("LEVEL_S",), "suite": ("BenchObserver", "run_suite")},
)
