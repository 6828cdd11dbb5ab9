"""In which numbers a candidate is trained: what was asked for, or what is measured to be fastest here."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import HardwareError
from harness.hardware import native_precisions
from harness.plan.calibration import Choice, Probe, fastest
from harness.plan.memory import remembered

LOWER = ("tf32", "bf16", "fp16")
"""From the most to the least exact; each must repay the step down to it (fp16 also needs its loss scaled)."""
EMULATED = frozenset({"bf16"})
"""Precisions that work, slowly, where they are not native."""
BUDGET_S = 1.0


def choose_precision(wanted: str, probe: Probe) -> Choice:
    """Return the precision to train in.

    ``auto`` measures every precision that is native to the device against fp32, forward and backward, for about a
    second in all, once per machine, architecture and batch shape. Anything else is taken as asked for,
    and raises :class:`HardwareError` where the device cannot do it.
    """
    native = native_precisions(probe.device)
    if wanted != "auto":
        return _as_asked(wanted, native, probe.device.type)
    candidates = [name for name in LOWER if native.get(name) == ""]
    if not candidates:
        excluded = "; ".join(f"{name}: {native[name]}" for name in LOWER if native.get(name))
        return Choice("fp32", reason=f"fp32: no other precision is native here ({excluded})")
    return remembered("precision", probe.key(probe.make_model()), lambda: _measure(probe, candidates))


def _as_asked(wanted: str, native: Mapping[str, str], device: str) -> Choice:
    obstacle = "" if wanted == "fp32" else native.get(wanted, "unknown to this device")
    if not obstacle:
        return Choice(wanted, reason=f"{wanted} was asked for")
    if wanted in EMULATED:
        return Choice(wanted, reason=f"{wanted} was asked for although it is slow here: {obstacle}")
    possible = ["fp32", *(name for name in LOWER if native.get(name) == "" or name in EMULATED)]
    raise HardwareError(
        f"precision {wanted} cannot be used on {device}: {obstacle}; use auto or one of {', '.join(possible)}"
    )


def _measure(probe: Probe, candidates: list[str]) -> Choice:
    order = ["fp32", *candidates]
    arms = {name: probe.step(precision=name, layout="contiguous") for name in order}
    seconds = probe.compare(arms, budget_s=BUDGET_S)
    ratios = {name: seconds["fp32"] / seconds[name] for name in candidates}
    chosen = fastest(seconds, order)
    if chosen != "fp32":
        return Choice(chosen, ratios[chosen], f"{chosen} measured {ratios[chosen]:.2f}x fp32")
    measured = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items())
    return Choice("fp32", 1.0, f"fp32: nothing measured clearly faster ({measured})")
