"""The best epoch so far, with its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.records import NAN


class Best:
    """Keeps a copy of a model's state in host memory, overwritten in place by every better epoch."""

    def __init__(self, model: nn.Module, *, maximize: bool) -> None:
        self._model = model
        self._sign = 1.0 if maximize else -1.0
        self.epoch = 0
        """0: none yet."""
        self.value = NAN
        self.state: dict[str, Tensor] = {}
        self._tensors: dict[str, Tensor] = {}

    def offer(self, epoch: int, value: float) -> None:
        """Keep the state of the model if ``value`` is better than all before it."""
        if self.epoch == 0 or self._sign * value > self._sign * self.value:
            self.keep(epoch, value)

    def keep(self, epoch: int, value: float = NAN) -> None:
        """Keep the state of the model."""
        self.epoch, self.value = epoch, value
        state = self._tensors or self._model.state_dict()
        for name, tensor in state.items():
            if name not in self.state or self.state[name].shape != tensor.shape:  # a fit gives buffers their sizes
                self.state[name] = torch.empty_like(tensor, device="cpu")
            self.state[name].copy_(tensor)

    def look(self) -> None:
        """Note where the tensors of a model lie that stay there, instead of asking it after every better epoch."""
        self._tensors = self._model.state_dict()

    def restore(self) -> None:
        """Put the kept state back into the model."""
        assert self.epoch, "no epoch has been finished"
        self._model.load_state_dict(self.state)
