"""What a model costs whatever machine it runs on: parameters, and the FLOPs of one sample's forward pass."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from harness.errors import described
from harness.models.calling import evaluating
from harness.models.fitted import Fitted
from harness.records import Figures

_KNOWN = ("torch.nn.modules.", "harness.models.")
"""Modules whose layers are known."""
_FAST = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer)
"""Layers with a fast path in evaluation that torch has no formula for."""


def count_parameters(model: nn.Module) -> int:
    """Return the number of trained and frozen parameters, shared ones once, and of numbers that a fit has found.

    Other buffers are not parameters.
    """
    held = sum(module.held for module in model.modules() if isinstance(module, Fitted))
    return held + sum(parameter.numel() for parameter in model.parameters())


def flops_of(work: Callable[[], object]) -> float:
    """Return the FLOPs of some work without gradients, by the formulas of torch's FlopCounterMode.

    They count matrix products, convolutions and attention, a multiply-add as 2 FLOPs (a linear layer is
    ``2 x in x out``); biases, norms, activations, pooling and recurrent layers count 0.
    """
    whole = FlopCounterMode(display=False)
    lean = _Counter(whole.flop_registry)
    try:
        with torch.no_grad(), lean:
            work()
        return lean.total
    except _HigherOrderError:
        with torch.no_grad(), whole:
            work()
        return float(whole.get_total_flops())


class _HigherOrderError(Exception):
    """There is an operator that takes functions, which FlopCounterMode knows and :class:`_Counter` does not."""


class _Counter(TorchDispatchMode):
    """Counts as FlopCounterMode does, without torch's compiler, which takes as long to load as the rest of torch."""

    supports_higher_order_operators = True

    def __init__(self, formulas: Mapping[Any, Callable[..., int]]) -> None:
        start: Callable[[], None] = super().__init__
        start()
        self.total = 0.0
        self._formulas = formulas

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Answer torch that the compiler, which nothing here uses, need not be told of this class."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation, or those that it is made of, and add what it takes."""
        if isinstance(func, HigherOrderOperator):
            raise _HigherOrderError
        given = kwargs or {}
        if func is not torch.ops.prim.device.default:
            with self:
                made = func.decompose(*args, **given)
            if made is not NotImplemented:
                return made
        out = func(*args, **given)
        if formula := self._formulas.get(func.overloadpacket):
            self.total += formula(*args, **given, out_val=out)
        return out


def count_flops(model: nn.Module, one: Iterable[Tensor]) -> Figures:
    """Return ``flops`` of the forward pass of ``one`` sample in evaluation mode, NaN with a reason where it is unknown.

    Counted by :func:`flops_of`. Where the layers are torch's and those of the families the sample goes through the
    model itself, which is left as it is. Where there is code of the user's own, or a layer whose fast path has no
    formula, nothing is computed: the pass runs on a copy on the meta device, for which torch loads its compiler.
    """
    try:
        if _plain(model):
            flops = _counted_in_place(model, one)
        else:
            copied = _meta_copy(model).eval()
            flops = flops_of(lambda: copied(*(x.to("meta") for x in one)))
    except (RuntimeError, TypeError, ValueError) as error:
        # A model may look at the values of its tensors, which the meta device does not have.
        reason = f"the model cannot run on the meta device: {described(error)}"
        return Figures.missing(reason, "flops")
    if flops == 0:
        return Figures.missing("torch's counter knows none of the model's operations", "flops")
    return Figures({"flops": flops})


def _plain(model: nn.Module) -> bool:
    """Tell whether a pass in evaluation mode changes nothing, and all that it computes has a formula or counts 0."""
    known = all(type(layer).__module__.startswith(_KNOWN) for layer in model.modules())
    return known and not any(isinstance(layer, _FAST) for layer in model.modules())


def _counted_in_place(model: nn.Module, one: Iterable[Tensor]) -> float:
    tensors = itertools.chain(model.parameters(), model.buffers())
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    inputs = [x.to(device) for x in one]
    with evaluating(model), sdpa_kernel(SDPBackend.MATH):  # the others have no formula on a CPU
        return flops_of(lambda: model(*inputs))


def _meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy whose parameters and buffers have shapes but no memory, without copying their values first."""
    replaced: dict[int, object] = {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    for parameter in model.parameters():
        replaced[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    return copy.deepcopy(model, replaced)
