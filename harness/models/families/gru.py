"""``gru``: gated recurrent units, for sequences (Cho et al., 2014, arXiv:1406.1078).

Two gates decide how much of the state is renewed, with three quarters of the weights of an ``lstm``. See
:mod:`harness.models.recurrent` for what it shares with ``rnn`` and ``lstm``.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from harness.models.family import family
from harness.models.recurrent import Recurrent, RecurrentConfig
from harness.models.sequences import takes_sequences
from harness.records import TaskShape


class GRUConfig(RecurrentConfig):
    """Parameters of ``gru``."""


@family(
    "gru",
    summary="gated recurrent units, for series, text and other sequences",
    config=GRUConfig,
    why_not=takes_sequences,
)
def build_gru(config: GRUConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of sequences."""
    return Recurrent(config, shape, partial(nn.GRU, batch_first=True))
