"""``rnn``: plain recurrent layers, for sequences (Elman, 1990, doi:10.1207/s15516709cog1402_1).

The state is ``f(W x_t + b + U h_(t-1) + c)``, with ``f`` the activation. It forgets within some ten steps: ``gru`` and
``lstm`` remember for longer. See :mod:`harness.models.recurrent` for what the three have in common.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from harness.models.family import family
from harness.models.recurrent import Recurrent, RecurrentConfig
from harness.models.sequences import takes_sequences
from harness.records import TaskShape


class RnnConfig(RecurrentConfig):
    """Parameters of ``rnn``."""

    activation: Literal["tanh", "relu"] = "tanh"
    """Non-linearity of every step."""


@family(
    "rnn",
    summary="plain recurrent layers, for series, text and other sequences",
    config=RnnConfig,
    why_not=takes_sequences,
)
def build_rnn(config: RnnConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of sequences."""

    def make(inputs: int, width: int) -> nn.RNNBase:
        return nn.RNN(inputs, width, nonlinearity=config.activation, batch_first=True)

    return Recurrent(config, shape, make)
