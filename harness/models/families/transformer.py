"""``transformer``: a transformer over steps, for sequences (Vaswani et al., 2017, arXiv:1706.03762).

Steps, or ``patch`` of them at a time (Nie et al., 2023, arXiv:2211.14730), become tokens by a linear map, a class token
stands in front of them, and ``depth`` blocks of :mod:`harness.models.transformers` follow. Every token looks at all
that are there. At the end the class token, or the mean of the others, goes through a norm into a linear layer.

Shape legend: B batch, T steps, D width.
"""

from __future__ import annotations

from torch import Tensor, nn

from harness.models.family import family
from harness.models.layers import initialise
from harness.models.sequences import Patch, Steps, takes_sequences
from harness.models.transformers import Transformer, TransformerConfig
from harness.records import TaskShape

BASE = 10_000.0
"""Angles of neighbouring tokens go from 1 radian down to nearly 1 / BASE."""


class SequenceTransformerConfig(TransformerConfig):
    """Parameters of ``transformer``; the width of the network is ``heads`` x ``head_width``."""

    patch: Patch = 1
    """Steps that are taken together as one token, for long series; ``auto``: as few as leave at most 256."""


def angles(head_width: int, count: int) -> list[list[float]]:
    """Return the angles of the token in each place."""
    half = head_width // 2
    return [[place * BASE ** (-step / half) for step in range(half)] for place in range(count)]


class Patches(nn.Module):
    """Makes tokens of steps."""

    def __init__(self, config: SequenceTransformerConfig, shape: TaskShape) -> None:
        super().__init__()
        self.steps = Steps(shape, config.width(), config.patch)
        self.map = initialise(nn.Linear(self.steps.channels, config.width()), after=None)

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return ``B x T x D`` and which of them are there."""
        x_BTC, mask_BT = self.steps(x, mask_BT)
        return self.map(x_BTC), mask_BT


class SequenceTransformer(Transformer):
    """See the module's text; called with the sequence and, where lengths vary, its mask."""

    def __init__(self, config: SequenceTransformerConfig, shape: TaskShape) -> None:
        patches = Patches(config, shape)
        turned = angles(config.head_width, patches.steps.count)
        super().__init__(config, patches, angles=turned, registers=0, outputs=shape.outputs)

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        return self.answer(*self.patches(x, mask_BT))


@family(
    "transformer",
    summary="attention over steps or patches of them, for series, text and other sequences",
    config=SequenceTransformerConfig,
    why_not=takes_sequences,
)
def build_transformer(config: SequenceTransformerConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of sequences."""
    return SequenceTransformer(config, shape)
