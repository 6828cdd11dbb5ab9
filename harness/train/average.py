"""An average of a model's weights over its steps, which is often better than the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from harness.data import Batch
from harness.train.state import copy_into, tensors_of

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Average:
    """Averages what the weights of ``module`` are after each step, from where the last ``share`` of all steps begins.

    With a ``decay`` it is the exponential moving average without the bias of its start: over its sum of weights, as
    Adam has it (Kingma and Ba, 2015, arXiv:1412.6980, section 3). Without one all count the same: stochastic weight
    averaging (Izmailov et al., 2018, arXiv:1803.05407). Before the first of these steps it is the module as it is.
    """

    def __init__(self, module: nn.Module, *, decay: float, share: float) -> None:
        self._source = module
        self._decay = decay
        self._share = share or 1.0
        self._first = 0
        self.averaged = AveragedModel(module, multi_avg_fn=self._take_in)

    @property
    def module(self) -> nn.Module:
        """The module with the averaged weights."""
        module: nn.Module = self.averaged.module
        return module

    def along(self, steps: int) -> None:
        """Say how many steps there will be."""
        self._first = steps - round(self._share * steps)

    def add(self, step: int) -> None:
        """Take in the weights as step number ``step``, from 0, left them."""
        if step >= self._first:
            self.averaged.update_parameters(self._source)

    def bound(self) -> Callable[[int], None]:
        """Return what :meth:`add` does where weights stay in their places and there are no other tensors to follow."""
        averages, weights = ([each.detach() for each in module.parameters()] for module in (self.module, self._source))

        def add(step: int) -> None:
            if step >= self._first:
                self._take_in(averages, weights, None)
                self.averaged.n_averaged += 1

        return add

    def settle(self, forward: Callable[[Batch], object], batches: Iterable[Batch]) -> None:
        """Make it fit for use: batch norm takes its statistics from ``batches``, as those of other weights are wrong.

        Like torch's ``update_bn``, but for models of several inputs, and without a touch on parts that are frozen.
        """
        if not self.averaged.n_averaged:
            copy_into(tensors_of(self.module), tensors_of(self._source))
            return
        norms = [
            layer for layer in self.module.modules()
            if isinstance(layer, NORMS) and layer.training and layer.running_mean is not None
        ]  # fmt: skip
        if not norms:
            return
        momenta = [layer.momentum for layer in norms]
        for layer in norms:
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
        with torch.no_grad():
            for batch in batches:
                forward(batch)
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum

    def _take_in(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _count: object) -> None:
        """Move averages of some weights so far towards their present ones."""
        count = int(self.averaged.n_averaged) + 1  # the buffer in host memory; the one that is handed over may not be
        share = (1.0 - self._decay) / (1.0 - self._decay**count) if self._decay else 1.0 / count
        torch._foreach_lerp_(list(averages), list(weights), share)
