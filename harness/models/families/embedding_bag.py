"""``embedding_bag``: the mean of the tokens' vectors, for text (Joulin et al., 2017, arXiv:1607.01759).

The layers behind it are ``(linear, activation, dropout) x depth, linear``; with ``depth`` 0 this is fastText. With
``bigrams`` each pair of neighbours has a vector as well, by hashing, so that pairs in ``bigrams`` classes share theirs:
without them the order of words does not count.

Shape legend: B batch, T tokens, D width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family
from harness.models.layers import ACTIVATIONS, MIN_WIDTH, Activation, Dropout, dropout, initialise, sequence
from harness.models.sequences import SPREAD, Steps, masked_mean, takes_tokens
from harness.records import TaskShape
from harness.spec.idle import Idle

PRIME = 116_049_371
"""By which fastText multiplies the first of two neighbours' codes before it adds the second."""


class EmbeddingBagConfig(FamilyConfig):
    """Parameters of ``embedding_bag``."""

    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=4096)] = 128
    """Numbers of a vector, and units of every hidden layer."""
    depth: Annotated[int, Field(strict=True, ge=0, le=16)] = 0
    """Number of hidden layers."""
    bigrams: Annotated[int, Field(strict=True, ge=0, le=10_000_000)] = 0
    """How many vectors there are for pairs of neighbours; 0: pairs have none."""
    activation: Activation = "relu"
    """Non-linearity after every hidden layer."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training, of the mean and after every activation."""


class EmbeddingBag(nn.Module):
    """See the module's text; called with the tokens and, where lengths vary, their mask."""

    def __init__(self, config: EmbeddingBagConfig, shape: TaskShape) -> None:
        super().__init__()
        width = config.width
        self.steps = Steps(shape, width)
        self.pairs = nn.Embedding(config.bigrams, width) if config.bigrams else None
        if self.pairs is not None:
            nn.init.normal_(self.pairs.weight, std=SPREAD)
        afters = [None, *[config.activation] * config.depth]
        layers: dict[str, nn.Module | None] = {"dropout": dropout(config.dropout)}
        for number, (before, _) in enumerate(pairwise(afters), 1):
            layers |= {
                f"linear{number}": initialise(nn.Linear(width, width), after=before),
                f"activation{number}": ACTIVATIONS[config.activation](),
                f"dropout{number}": dropout(config.dropout),
            }
        self.hidden = sequence(**layers)
        self.output = initialise(nn.Linear(width, shape.outputs), after=afters[-1])

    def forward(self, codes_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BTD, _ = self.steps(codes_BT, mask_BT)
        if self.pairs is not None:
            classes_BT = (codes_BT[:, :-1] * PRIME + codes_BT[:, 1:]) % self.pairs.num_embeddings
            x_BTD = torch.cat([x_BTD, self.pairs(classes_BT)], dim=1)
            mask_BT = None if mask_BT is None else torch.cat([mask_BT, mask_BT[:, 1:]], dim=1)
        y_BO: Tensor = self.output(self.hidden(masked_mean(x_BTD, mask_BT)))
        return y_BO


@family(
    "embedding_bag",
    summary="the mean of the tokens' vectors and fully connected layers, for text",
    config=EmbeddingBagConfig,
    why_not=takes_tokens,
    idle=(Idle(("activation",), where={"depth": 0}),),
)
def build_embedding_bag(config: EmbeddingBagConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of text."""
    return EmbeddingBag(config, shape)
