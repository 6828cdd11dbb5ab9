"""How a candidate is trained here: device, precision, layout and threads, each calibrated instead of assumed."""

from __future__ import annotations

from harness.plan.plan import make_plan
from harness.plan.running import Forward, forward_of, prepare, running

__all__ = ["Forward", "forward_of", "make_plan", "prepare", "running"]
