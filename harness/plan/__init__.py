"""How a candidate is trained here: device, precision, layout, batch size, threads, each calibrated, not assumed."""

from __future__ import annotations

from harness.plan.batch_size import batch_size_by_rule, choose_batch_size, sizes_for
from harness.plan.calibration import Choice
from harness.plan.learning import Loss
from harness.plan.memory import Memory, machine
from harness.plan.plan import make_plan
from harness.plan.precision import may_be_lower
from harness.plan.running import LAYOUTS, Forward, forward_of, prepare, random_state_kept, running

__all__ = [
    "LAYOUTS",
    "Choice",
    "Forward",
    "Loss",
    "Memory",
    "batch_size_by_rule",
    "choose_batch_size",
    "forward_of",
    "machine",
    "make_plan",
    "may_be_lower",
    "prepare",
    "random_state_kept",
    "running",
    "sizes_for",
]
