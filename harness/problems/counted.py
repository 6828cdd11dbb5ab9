"""Which samples of a batch count, where models are trained together and some have fewer samples than others.

Shape legend: K models, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Counted:
    """Which samples of a batch count: the first ``sizes`` of each model, of ``most``.

    The others must be copies of one that counts, so that they are finite where those are.
    """

    def __init__(self, sizes: Sequence[int], most: int) -> None:
        self.sizes = list(sizes)
        self.mask_KB = torch.arange(most) < torch.tensor(self.sizes).unsqueeze(1)
        self.weights_KB1 = self.mask_KB.unsqueeze(2).to(torch.get_default_dtype())
        self.sizes_K = torch.tensor(self.sizes, dtype=torch.get_default_dtype())
        self._divisors_K = self.sizes_K.clamp(min=1.0)  # nothing counts in a batch that only others have samples for

    def weights(self, like: Tensor) -> Tensor:
        """Return 1 for what counts and 0 for the rest, to be multiplied with ``K x B`` or more."""
        return self.weights_KB1.squeeze(2) if like.ndim == 2 else self.weights_KB1

    def divisors(self, like: Tensor) -> Tensor:
        """Return how many samples count, of each model, to divide ``K x ...`` by."""
        return self._divisors_K.view(-1, *(1,) * (like.ndim - 1))
