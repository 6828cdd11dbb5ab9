"""What a model costs whatever machine it runs on: parameters, and the FLOPs of one sample's forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness.errors import described
from harness.records import Figures


def count_parameters(model: nn.Module) -> int:
    """Return the number of trained and frozen parameters, shared ones once; buffers are not parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops_of(work: Callable[[], object]) -> float:
    """Return the FLOPs of some work without gradients, by torch's FlopCounterMode.

    It counts matrix products, convolutions and attention, a multiply-add as 2 FLOPs (a linear layer is
    ``2 x in x out``); biases, norms, activations, pooling and recurrent layers count 0.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def count_flops(model: nn.Module, one: Iterable[Tensor]) -> Figures:
    """Return ``flops`` of the forward pass of ``one`` sample in evaluation mode, NaN with a reason where it is unknown.

    Counted by :func:`flops_of`. Nothing is computed: the pass runs on a copy on the meta device, and the model and its
    memory are left as they are.
    """
    try:
        copied = _meta_copy(model).eval()
        flops = flops_of(lambda: copied(*(x.to("meta") for x in one)))
    except (RuntimeError, TypeError, ValueError) as error:
        # A model may look at the values of its tensors, which the meta device does not have.
        reason = f"the model cannot run on the meta device: {described(error)}"
        return Figures.missing(reason, "flops")
    if flops == 0:
        return Figures.missing("torch's counter knows none of the model's operations", "flops")
    return Figures({"flops": flops})


def _meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy whose parameters and buffers have shapes but no memory, without copying their values first."""
    replaced: dict[int, object] = {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    for parameter in model.parameters():
        replaced[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    return copy.deepcopy(model, replaced)
