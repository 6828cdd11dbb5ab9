"""What the GPU draws for a call: of a stretch without a pause, as meters are slow."""

from __future__ import annotations

import time
from typing import Any

import torch

from harness.bench.timing.clocks import Call
from harness.bench.timing.conditions import Watch
from harness.measure import synchronize
from harness.records import NAN

ENERGY_S = 5.0


def unmeasured(reason: str) -> dict[str, Any]:
    """Return the fields of a row that say why there is no energy."""
    return {"energy_source": f"not measured: {reason}"}


def drawn(call: Call, calls: int, *, samples: int, device: torch.device, watch: Watch) -> dict[str, Any]:
    """Return the fields of a row about energy, from ENERGY_S seconds of work in bursts of so many calls."""
    mark, done = watch.begin(), 0
    while time.perf_counter() - mark.wall_s < ENERGY_S:
        for _ in range(calls):
            call()
        synchronize(device)
        done += calls
    stretch_s = time.perf_counter() - mark.wall_s
    figures = watch.figures(mark)
    joules, watts = figures.values["energy_j"] / done, figures.values["power_w"]
    reason = figures.reasons.get("energy_j", "")
    if joules != joules:
        return unmeasured(reason)
    return {
        "energy_j": joules,
        "energy_source": reason or "counter of the GPU",
        "j_per_sample": joules / samples if samples else NAN,
        "facts": {"power_w": watts, "energy_from_power_j": watts * stretch_s / done},
    }
