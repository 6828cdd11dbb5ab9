"""What a plan means while a model runs: where it lies, in which numbers it computes, on how many threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from harness.errors import TooFewSamples
from harness.hardware import freed_memory_kept
from harness.models import Outputs, mapped
from harness.plan.winograd import use_winograd
from harness.records import Plan

Inputs = tuple[Tensor, ...]
Forward = Callable[[Inputs], Outputs]

LAYOUTS = ("contiguous", "channels_last", "winograd")
"""How images and weights of convolutions lie; ``winograd``: channels last, and as :mod:`harness.plan.winograd` says."""
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The precisions that torch.autocast mixes with fp32; weights stay in fp32."""
_REFUSED = "Expected more than 1 value per channel when training"
"""How torch's message begins where batch norm is to be trained with one value of each channel."""


def prepare(model: nn.Module, *, device: torch.device, layout: str) -> nn.Module:
    """Move ``model`` to the device and its convolutions to the layout, in place; return it."""
    model.to(device)
    if layout != "contiguous":
        convert_conv2d_weight_memory_format(model, torch.channels_last)
    if layout == "winograd":
        use_winograd(model)
    return model


def forward_of(model: nn.Module, *, device: torch.device, precision: str, layout: str) -> Forward:
    """Return the function from a batch's inputs to the model's outputs in fp32, under this precision and layout.

    Autocast is entered for each call: were it left open over a step of the optimiser, its cache would go on using
    the weights from before the step. A single sample that batch norm cannot be trained with raises
    :class:`TooFewSamples`; where each channel has several values, as in an image, it can.
    """

    def plain(inputs: Inputs) -> Outputs:
        try:
            outputs: Outputs = model(*inputs)
        except ValueError as error:
            if len(inputs[0]) > 1 or not str(error).startswith(_REFUSED):
                raise
            raise TooFewSamples("batch norm takes its statistics from at least two samples at once") from error
        return outputs

    def channels_last(inputs: Inputs) -> Outputs:
        return plain(tuple(_channels_last(x) for x in inputs))

    laid_out = plain if layout == "contiguous" else channels_last
    if precision not in AUTOCAST:
        return laid_out
    dtype = AUTOCAST[precision]

    def autocast(inputs: Inputs) -> Outputs:
        with torch.autocast(device.type, dtype=dtype):
            outputs = laid_out(inputs)
        return mapped(_in_full, outputs)

    return autocast


def _in_full(x: Tensor) -> Tensor:
    return x.float() if x.is_floating_point() else x


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def random_state_kept(device: torch.device) -> AbstractContextManager[None]:
    """Leave torch's random generators as they were, whatever is done meanwhile."""
    if device.type == "cpu":
        return torch.random.fork_rng([])
    return torch.random.fork_rng([device], device_type=device.type)


@contextmanager
def running(plan: Plan) -> Iterator[None]:
    """Use the plan's number of threads, on CUDA its kind of fp32 arithmetic; put both back at the end.

    What is freed meanwhile stays with the process, for the next step.
    """
    device = torch.device(plan.device)
    with tf32_arithmetic(device, plan.precision), thread_count(plan.threads), freed_memory_kept():
        yield


@contextmanager
def tf32_arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """Let CUDA round fp32 products to TF32 for every precision but ``fp32``, which means all of its 23 bits.

    torch's own default rounds in convolutions and not in matrix products.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision != "fp32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextmanager
def thread_count(count: int) -> Iterator[None]:
    """Let torch compute on ``count`` CPU threads meanwhile."""
    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
