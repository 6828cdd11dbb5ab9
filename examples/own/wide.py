"""A module of one's own for ``examples/own/space.yaml``: a wide layer with a path around it."""

from __future__ import annotations

from torch import Tensor, nn

from harness.records import TaskShape


class Wide(nn.Module):
    """One hidden layer, added to a linear model of the same inputs."""

    def __init__(self, features: int, width: int, outputs: int) -> None:
        super().__init__()
        self.around = nn.Linear(features, outputs)
        self.through = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, outputs))

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        y_BO: Tensor = self.around(x_BF) + self.through(x_BF)
        return y_BO


def build(shape: TaskShape, *, width: int = 64) -> nn.Module:
    """Return the module for a table of numbers; ``width`` comes from the space file."""
    (features,) = shape.inputs[0].sizes  # the numbers of a table
    return Wide(features, width, shape.outputs)
