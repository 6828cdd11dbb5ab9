"""``vit``: a transformer over patches, for images (Dosovitskiy et al., 2021, arXiv:2010.11929).

Patches become tokens by a linear map, a class token and registers stand in front of them, and ``depth`` blocks of
:mod:`harness.models.transformers` follow. At the end the class token, or the mean of the patches, goes through a norm
into a linear layer. With ``positions: rotary`` half of the pairs of queries and keys turn with the patch's row, half
with its column (Heo et al., 2024, arXiv:2403.13298, section 3.1).

Registers are tokens that stand for nothing, where attention can put what belongs to the whole image (Darcet et al.,
2024, arXiv:2309.16588); they help large networks. ``depth`` 12, ``heads`` 12, ``head_width`` 64, ``expansion`` 4 and
``patch`` 16 is ViT-B/16. Shape legend: B batch, C channels, H height, W width, N tokens, D width.
"""

from __future__ import annotations

import itertools
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from harness.models.family import family, takes
from harness.models.stages import patches
from harness.models.transformers import Transformer, TransformerConfig
from harness.records import InputKind, TaskShape

BASE = 100.0
"""Angles of neighbouring patches go from 1 radian down to nearly 1 / BASE, as Heo et al. have it."""


class VitConfig(TransformerConfig):
    """Parameters of ``vit``; the width of the network is ``heads`` x ``head_width``."""

    patch: Annotated[int, Field(strict=True, ge=1, le=64)] = 4
    """Height and width of a patch, in pixels; images are padded to multiples."""
    registers: Annotated[int, Field(strict=True, ge=0, le=64)] = 0
    """Tokens that stand for nothing."""


def angles(head_width: int, counts: tuple[int, int]) -> list[list[float]]:
    """Return the angles of every patch, of which there are ``counts`` down and across."""
    quarter = head_width // 4
    rates = [BASE ** (-step / quarter) for step in range(quarter)]
    places = itertools.product(range(counts[0]), range(counts[1]))
    return [[step * rate for step in place for rate in rates] for place in places]


class Vit(Transformer):
    """See the module's text; called with ``x_BCHW``."""

    def __init__(self, config: VitConfig, shape: TaskShape) -> None:
        channels, height, width = shape.inputs[0].sizes
        layer, counts = patches(channels, config.width(), config.patch, (height, width))
        turned = angles(config.head_width, counts)
        super().__init__(config, layer, angles=turned, registers=config.registers, outputs=shape.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        return self.answer(self.patches(x_BCHW).flatten(2).transpose(1, 2))


@family(
    "vit",
    summary="a transformer over patches, for images",
    config=VitConfig,
    why_not=takes((InputKind.IMAGE,)),
)
def build_vit(config: VitConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of images."""
    return Vit(config, shape)
