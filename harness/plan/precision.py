"""In which numbers a candidate is trained: as asked for, or what measures fastest and learns as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from harness.errors import HardwareError, first_line
from harness.hardware import native_precisions
from harness.plan.calibration import SMALL_FLOPS, Choice, Probe, fastest
from harness.plan.learning import STEPS, Lesson
from harness.plan.memory import Memory
from harness.plan.running import AUTOCAST

LOWER = ("tf32", "bf16", "fp16")
"""From the most to the least exact; each must repay the step down to it (fp16 also needs its loss scaled)."""
EMULATED = frozenset({"bf16"})
"""Precisions that work, slowly, where they are not native."""
BY_RULE = "tf32"
"""What ``auto`` is without measuring, where it is native: of fp32 it lacks some digits of a product, and no range."""
BUDGET_S = 1.0
LEAST_STEPS = 1000
"""Of a training on a CPU, where measuring takes about as long as 100 of its steps: fewer do not repay it."""
UNSUPPORTED = (NotImplementedError, TypeError)
"""What torch raises where it lacks an operation in a precision, or cannot scale the loss (on MPS before 2.8)."""


LayoutOf = Callable[[str], str]
"""The layout that the model is trained in by a precision."""


def may_be_lower(wanted: str, device: torch.device, steps: float) -> bool:
    """Tell whether a training of so many steps may be in a precision whose numbers take less memory than fp32."""
    if wanted != "auto":
        return wanted in AUTOCAST
    native = native_precisions(device)
    return any(native.get(name) == "" for name in AUTOCAST) and not _is_short(device, steps)


def choose_precision(
    wanted: str, probe: Probe, memory: Memory | None, lesson: Lesson, *, steps: int, layout_of: LayoutOf
) -> Choice:
    """Return the precision to train in for that many ``steps``.

    ``auto`` measures every precision that is native to the device against fp32, each in its own layout, forward and
    backward, for about a second in all, and takes the fastest one that does not hurt the loss of the ``lesson``, once
    per machine, configuration, batch shape, loss and data. Without a ``memory`` nothing is measured, and it is tf32
    where that is native, else fp32; it is fp32, too, where a training on a CPU is too small to repay measuring.
    Anything else than ``auto`` is taken as asked for, and raises :class:`HardwareError` where the device cannot do it.
    """
    native = native_precisions(probe.device)
    if wanted != "auto":
        return _as_asked(wanted, native, probe.device.type)
    candidates = [name for name in LOWER if native.get(name) == ""]
    if not candidates:
        excluded = "; ".join(f"{name}: {native[name]}" for name in LOWER if native.get(name))
        return Choice("fp32", reason=f"fp32: no other precision is native here ({excluded})")
    if memory is None:
        chosen = BY_RULE if BY_RULE in candidates else "fp32"
        return Choice(chosen, reason=f"{chosen}: by rule")
    if why := _not_worth_it(probe, steps):
        return Choice("fp32", reason=f"fp32: {why}")
    key = probe.key, lesson.key
    return memory.choice(
        "precision", key, ("fp32", *candidates), lambda: _measure(probe, candidates, lesson, layout_of)
    )


def _not_worth_it(probe: Probe, steps: int) -> str:
    """Return why a training on a CPU would not repay what is measured; empty where it would."""
    if _is_short(probe.device, steps):
        return f"{steps:,} steps are too few to repay measuring others"
    if probe.device.type == "cpu" and probe.flops < SMALL_FLOPS:
        return f"{probe.flops * 1e-6:.2g} MFLOP of a batch are too few to gain by less exact ones"
    return ""


def _is_short(device: torch.device, steps: float) -> bool:
    return device.type == "cpu" and steps < LEAST_STEPS


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


def _measure(probe: Probe, candidates: list[str], lesson: Lesson, layout_of: LayoutOf) -> Choice:
    refused: list[str] = []
    arms = {"fp32": probe.step(precision="fp32", layout=layout_of("fp32"))}
    for name in candidates:
        if said := _obstacle(probe.step(precision=name, layout="contiguous")):
            refused.append(f"{name} does not work here: {said}")
        else:
            arms[name] = probe.step(precision=name, layout=layout_of(name))
    order = list(arms)
    seconds = probe.compare(arms, budget_s=BUDGET_S, order=order)
    ratios = {name: seconds["fp32"] / seconds[name] for name in order[1:]}
    while (chosen := fastest(seconds, order)) != "fp32":
        harmless, said = _judge(chosen, ratios[chosen], lesson)
        if harmless:
            return Choice(chosen, ratios[chosen], "; ".join([said, *refused]))
        refused.append(said)
        order.remove(chosen)
    if refused:
        return Choice("fp32", 1.0, f"fp32: {'; '.join(refused)}")
    measured = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items())
    return Choice("fp32", 1.0, f"fp32: nothing measured clearly faster ({measured})")


def _obstacle(arm: Callable[[], None]) -> str:
    """Return why torch cannot do this here; empty where it can."""
    try:
        arm()
    except UNSUPPORTED as error:
        return first_line(error)
    return ""


def _judge(precision: str, ratio: float, lesson: Lesson) -> tuple[bool, str]:
    """Return whether a faster precision can be taken, and what speaks for it or against."""
    try:
        verdict = lesson.judge(precision)
    except UNSUPPORTED as error:
        return False, f"{precision} does not work here: {first_line(error)}"
    losses = f"{verdict.loss:.4g} against {verdict.reference:.4g}"
    if verdict.hurt:
        return False, f"{precision} was {ratio:.2f}x but hurt the loss ({losses} after {STEPS} steps)"
    return True, f"{precision} measured {ratio:.2f}x fp32, loss after {STEPS} steps {losses}"
