"""The memory that training takes, added up tensor by tensor without a device and without the memory.

A step is taken under torch's FakeTensorMode, as torch.compile traces one: its tensors have shapes, types and lifetimes
and hold nothing, and operations are chosen as on a CPU (on the meta device attention would keep its whole matrix, which
no device does). What is alive at once is counted by storage, so that views and shared weights count once.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from harness.data import Batch
from harness.errors import described
from harness.models import Outputs, leaves
from harness.records import MIB, Figures

NAME = "static_memory_mb"


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operations return while they are alive: now, and at most."""

    def __init__(self) -> None:
        start: Callable[[], None] = super().__init__
        start()
        self.now = 0
        self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the operation and count the storages that it brought forth."""
        returned = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mkldnn_rnn_layer.default:
            x_TBC, (states_TBW, *others, workspace) = args[0], returned
            returned = (states_TBW, *others, workspace.new_empty(lstm_workspace(x_TBC.shape, states_TBW.shape[2])))
        for leaf in leaves(returned):
            self._count(leaf.untyped_storage())
        return returned

    def _count(self, storage: torch.UntypedStorage) -> None:
        # Each storage has one Python object as long as it lives, however many tensors share it.
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return
        self._alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


def lstm_workspace(sizes: Sequence[int], width: int) -> int:
    """Return the bytes that oneDNN keeps for the backward pass of a layer of an LSTM, of which torch's fake has none.

    ``sizes`` are steps, batch and inputs. Gates, states and room for the gradients of both are kept in rows of whole
    cache lines (oneDNN 3, ``src/cpu/rnn/rnn_utils.hpp``); exact for widths of whole lines, high by a few percent for
    the others.
    """
    steps, batch, inputs = sizes
    numbers = steps * batch * (_row(4 * width) + width)
    numbers += 2 * (steps + 1) * batch * (3 * _row(max(inputs, width)) + 2 * _row(width))
    return 4 * numbers


def _row(numbers: int) -> int:
    """Return the numbers of a row in whole cache lines; one more where rows would lie on the same places of a cache."""
    whole = -(-numbers // 16) * 16
    return whole + 16 if whole % 256 == 0 else whole


def training_footprint(
    make_model: Callable[[], nn.Module],
    like: Batch,
    loss: Callable[[Outputs, Tensor], Tensor],
    *,
    batch: int,
    state_per_parameter: int,
) -> Figures:
    """Return ``static_memory_mb``, the MiB of tensors alive at once in a training step, NaN with a reason if unknown.

    That is weights, gradients, what is kept for the backward pass, inputs, and ``state_per_parameter`` numbers that
    the optimiser keeps for each trained parameter (0: plain SGD, 1: momentum or RMSprop, 2: Adam). The step is of
    ``batch`` samples as those of ``like`` are, and goes back from ``loss(outputs, targets)``. ``make_model`` builds a
    new model; it is called under FakeTensorMode, so no weights are allocated or drawn either. A model that looks at the
    values of its tensors cannot be run like this.

    It is what a step in fp32 takes on a CPU, within 1 % of what torch's profiler records there for most of the shipped
    families; ``lite``, ``text_cnn`` and ``lstm`` take 5 to 10 % more, for copies within a layer. On a GPU expect up to
    about 15 % more: what the allocator rounds up, and the workspaces of cuDNN and cuBLAS; samples that lie on the
    device come on top. bf16 and fp16 take less, as they keep smaller activations.

    On one core of a CPU a CNN of six convolutions took 30 ms and one of sixteen with residual connections 0.1 to 0.2 s;
    the first call in a process takes a second or two more, for torch's tables of shapes.
    """
    try:
        with _unlogged(), FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as alive:
            model = make_model()
            *inputs, targets = (torch.zeros(batch, *x.shape[1:], dtype=x.dtype) for x in (*like.inputs, like.targets))
            torch.autograd.backward(loss(model(*inputs), targets))
    except Exception as error:  # noqa: BLE001 - a model may fail in any way where tensors hold nothing
        reason = f"the model cannot run without values: {described(error)}"
        return Figures.missing(reason, NAME)
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return Figures({NAME: (alive.peak + state_per_parameter * trained) / MIB})


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the traceback to itself that torch logs of an operation that fails; the error says what is in it."""
    logger = logging.getLogger(FakeTensorMode.__module__)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
