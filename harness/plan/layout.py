"""How images lie in memory: channel by channel, or pixel by pixel (channels last)."""

from __future__ import annotations

from torch import nn

from harness.plan.calibration import Choice, Probe, fastest
from harness.plan.memory import Memory

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
LAYOUTS = ("contiguous", "channels_last")
BUDGET_S = 0.3


def choose_layout(probe: Probe, precision: str, memory: Memory | None) -> Choice:
    """Return ``channels_last`` where it is measured to be faster, else ``contiguous``.

    Only a model with two-dimensional convolutions on image batches is measured, once per machine, precision,
    architecture and batch shape; without a ``memory`` none is.
    """
    if not any(x.ndim == 4 for x in probe.batch.inputs):
        return Choice("contiguous", reason="the inputs are not images")
    if not any(isinstance(layer, CONVOLUTIONS) for layer in probe.model.modules()):
        return Choice("contiguous", reason="the model has no convolutions")
    if memory is None:
        return Choice("contiguous", reason="by rule")
    return memory.choice("layout", (precision, probe.key), LAYOUTS, lambda: _measure(probe, precision))


def _measure(probe: Probe, precision: str) -> Choice:
    arms = {layout: probe.step(precision=precision, layout=layout) for layout in LAYOUTS}
    seconds = probe.compare(arms, budget_s=BUDGET_S)
    ratio = seconds["contiguous"] / seconds["channels_last"]
    chosen = fastest(seconds, LAYOUTS)
    return Choice(
        chosen, ratio if chosen == "channels_last" else 1.0, f"channels_last measured {ratio:.2f}x contiguous"
    )
