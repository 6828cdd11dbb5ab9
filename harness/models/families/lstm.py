"""``lstm``: long short-term memory, for sequences (Hochreiter and Schmidhuber, 1997, doi:10.1162/neco.1997.9.8.1735).

Gates decide what a cell takes in, forgets (Gers et al., 2000) and shows; the forget gate begins open. See
:mod:`harness.models.recurrent` for what it shares with ``rnn`` and ``gru``.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from harness.models.family import family
from harness.models.recurrent import Recurrent, RecurrentConfig
from harness.models.sequences import takes_sequences
from harness.records import TaskShape


class LSTMConfig(RecurrentConfig):
    """Parameters of ``lstm``."""


@family(
    "lstm",
    summary="long short-term memory, for series, text and other sequences",
    config=LSTMConfig,
    why_not=takes_sequences,
)
def build_lstm(config: LSTMConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of sequences."""
    return Recurrent(config, shape, partial(nn.LSTM, batch_first=True))
