"""Layers: scaled dot-product attention, a 3 x 3 convolution of the middle of a residual network, a step of an LSTM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.bench.micro.data import FLOATS, case_of, floats, in_every_format, normal, traffic
from harness.bench.rows import Case, Row
from harness.bench.workload import Setting, Workload, groups

WIDTH = 64
"""Of a head."""
ATTENTION = {"cpu": (4, 8, 512), "mps": (8, 8, 1024), "cuda": (8, 16, 2048)}
"""Batch, heads and length of the sequence, by kind of device."""

CHANNELS, SIDE = 64, 56
BATCH = {"cpu": 16, "mps": 64, "cuda": 256}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

CELL = {"cpu": (64, 256), "mps": (256, 512), "cuda": (512, 1024)}
"""Batch and width, by kind of device."""


@groups.register("attention")
def attention(setting: Setting) -> Iterator[Workload | Row]:
    """Yield attention in every native format."""
    sizes = ATTENTION[setting.device.type]
    yield from in_every_format(setting, lambda dtype: attend(sizes, dtype, setting))


def attend(sizes: tuple[int, int, int], dtype: str, setting: Setting) -> Workload:
    """Return attention of every position to every other; two products of S x S x D multiply-adds for each head."""
    batch, heads, length = sizes
    return Workload(
        case=case_of("attention", dtype, setting, shape=f"{batch}x{heads}x{length}x{WIDTH}", batch=batch),
        prepare=partial(_attention, (batch, heads, length, WIDTH), dtype, setting),
        samples=batch,
        flops=4.0 * batch * heads * length * length * WIDTH,
        flops_source="formula",
        bytes_moved=traffic(dtype, 4 * batch * heads * length * WIDTH),
    )


def _attention(shape: tuple[int, int, int, int], dtype: str, setting: Setting) -> Callable[[], Tensor]:
    q_BHSD, k_BHSD, v_BHSD = (normal(*shape, dtype=FLOATS[dtype], setting=setting, seed=seed) for seed in range(3))
    return lambda: functional.scaled_dot_product_attention(q_BHSD, k_BHSD, v_BHSD)


@groups.register("conv3x3")
def conv3x3(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the convolution in every native format and both layouts."""
    batch = BATCH[setting.device.type]
    for layout in LAYOUTS:
        yield from floats(setting, convolution(batch, "fp32", layout, setting).case)[1]
    for dtype in floats(setting, Case(bench="conv3x3"))[0]:
        for layout in LAYOUTS:
            yield convolution(batch, dtype, layout, setting)


def convolution(batch: int, dtype: str, layout: str, setting: Setting) -> Workload:
    """Return the forward pass of a convolution with as many filters as channels and a padding of 1."""
    return Workload(
        case=case_of("conv3x3", dtype, setting, shape=f"{batch}x{CHANNELS}x{SIDE}x{SIDE}", batch=batch, layout=layout),
        prepare=partial(_convolution, batch, dtype, layout, setting),
        samples=batch,
        flops=2.0 * batch * SIDE * SIDE * CHANNELS * CHANNELS * 9,
        flops_source="formula",
        bytes_moved=traffic(dtype, 2 * batch * CHANNELS * SIDE * SIDE, 9 * CHANNELS * CHANNELS),
    )


def _convolution(batch: int, dtype: str, layout: str, setting: Setting) -> Callable[[], Tensor]:
    torch.backends.cudnn.benchmark = True  # the first call finds the fastest kernel
    x_BCHW = normal(batch, CHANNELS, SIDE, SIDE, dtype=FLOATS[dtype], setting=setting)
    w_OCHW = normal(CHANNELS, CHANNELS, 3, 3, dtype=FLOATS[dtype], setting=setting, seed=1)
    x_BCHW, w_OCHW = (tensor.contiguous(memory_format=LAYOUTS[layout]) for tensor in (x_BCHW, w_OCHW))
    return lambda: functional.conv2d(x_BCHW, w_OCHW, padding=1)


@groups.register("lstm_cell")
def lstm_cell(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the step in every native format."""
    batch, width = CELL[setting.device.type]
    yield from in_every_format(setting, lambda dtype: step(batch, width, dtype, setting))


def step(batch: int, width: int, dtype: str, setting: Setting) -> Workload:
    """Return a forward step of a cell that is as wide as its input: four gates of two products each."""
    return Workload(
        case=case_of("lstm_cell", dtype, setting, shape=f"{batch}x{width}", batch=batch),
        prepare=partial(_cell, batch, width, dtype, setting),
        samples=batch,
        flops=2.0 * batch * 4 * width * 2 * width,
        flops_source="formula",
        bytes_moved=traffic(dtype, 5 * batch * width, 8 * width * width + 8 * width),
    )


def _cell(batch: int, width: int, dtype: str, setting: Setting) -> Callable[[], tuple[Tensor, Tensor]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        cell = nn.LSTMCell(width, width)
    cell.to(setting.device, FLOATS[dtype]).requires_grad_(False)
    x_BD, h_BD, c_BD = (normal(batch, width, dtype=FLOATS[dtype], setting=setting, seed=seed) for seed in range(3))
    return lambda: cell(x_BD, (h_BD, c_BD))
