"""A family and a metric that an installed package adds to harness; pyproject.toml beside this file names both."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.problems.scoring import scores
from harness.records import InputKind, TaskShape


class AdditiveConfig(FamilyConfig):
    """Parameters of ``additive``."""

    width: Annotated[int, Field(strict=True, ge=1, le=1024)] = 16
    """Hidden units of each column's own network."""


class Additive(nn.Module):
    """A small network for each column, whose outputs are added up (Agarwal et al., 2021, arXiv:2004.13912)."""

    def __init__(self, columns: int, width: int, outputs: int) -> None:
        super().__init__()
        self.rise = nn.Parameter(torch.randn(columns, width))
        self.shift = nn.Parameter(torch.randn(columns, width))
        self.out = nn.Linear(columns * width, outputs)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        hidden_BFW = torch.relu(x_BF.unsqueeze(2) * self.rise + self.shift)
        y_BO: Tensor = self.out(hidden_BFW.flatten(1))
        return y_BO


@family(
    "additive",
    summary="a network for each column, added up",
    config=AdditiveConfig,
    why_not=takes((InputKind.NUMERIC,)),
)
def build(config: AdditiveConfig, shape: TaskShape) -> nn.Module:
    """Return the model for this task."""
    return Additive(shape.inputs[0].sizes[0], config.width, shape.outputs)


@scores.register("within_a_quarter")
def within_a_quarter(targets: np.ndarray, answers: np.ndarray) -> float:
    """Return the share of values that are at most a quarter off."""
    return float((np.abs(answers - targets) <= 0.25 * np.abs(targets)).mean())
