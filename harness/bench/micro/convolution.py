"""A 3 x 3 convolution of the middle of a residual network, in both layouts of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from harness.bench.micro.data import FLOATS, case_of, floats, normal, traffic
from harness.bench.rows import Case, Row
from harness.bench.workload import Setting, Workload, groups

CHANNELS, SIDE = 64, 56
BATCH = {"cpu": 16, "mps": 64, "cuda": 256}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


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
        prepare=partial(_prepare, batch, dtype, layout, setting),
        samples=batch,
        flops=2.0 * batch * SIDE * SIDE * CHANNELS * CHANNELS * 9,
        flops_source="formula",
        bytes_moved=traffic(dtype, 2 * batch * CHANNELS * SIDE * SIDE, 9 * CHANNELS * CHANNELS),
    )


def _prepare(batch: int, dtype: str, layout: str, setting: Setting) -> Callable[[], Tensor]:
    torch.backends.cudnn.benchmark = True  # the first call finds the fastest kernel
    x_BCHW = normal(batch, CHANNELS, SIDE, SIDE, dtype=FLOATS[dtype], setting=setting)
    w_OCHW = normal(CHANNELS, CHANNELS, 3, 3, dtype=FLOATS[dtype], setting=setting, seed=1)
    x_BCHW, w_OCHW = (tensor.contiguous(memory_format=LAYOUTS[layout]) for tensor in (x_BCHW, w_OCHW))
    return lambda: functional.conv2d(x_BCHW, w_OCHW, padding=1)
