"""Matrix products by oneDNN, the other library that torch has on a CPU.

torch hands fp32 products to MKL and convolutions to oneDNN. MKL leaves AVX-512 unused on processors that are not
Intel's, oneDNN does not, so these rows tell what products lack there. oneDNN wants the second matrix in an order of its
own: it is packed beforehand, as a network's weights are when they do not change any more. In training they change at
every step, and packing them anew is not in these rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from harness.bench.micro.data import case_of, normal
from harness.bench.micro.data import traffic as moved
from harness.bench.peaks import ONEDNN, PRODUCT
from harness.bench.workload import Setting, Workload


def has_onednn(setting: Setting) -> bool:
    """Tell whether torch can be asked for such a product here."""
    there = setting.device.type == "cpu" and torch.backends.mkldnn.is_available()
    return there and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def packed_product(shape: tuple[int, int, int], setting: Setting) -> Workload:
    """Return the fp32 product of two random matrices of M x K and K x N, the second packed for oneDNN."""
    rows, inner, columns = shape
    case = case_of(PRODUCT, "fp32", setting, shape="x".join(map(str, shape)))
    return Workload(
        case=replace(case, variant=ONEDNN),
        prepare=partial(_prepare, shape, setting),
        flops=2.0 * rows * inner * columns,
        flops_source="formula",
        bytes_moved=moved("fp32", rows * inner, inner * columns, rows * columns),
    )


def _prepare(shape: tuple[int, int, int], setting: Setting) -> Callable[[], Tensor]:
    rows, inner, columns = shape
    a_MK = normal(rows, inner, dtype=torch.float32, setting=setting)
    b_NK = normal(columns, inner, dtype=torch.float32, setting=setting, seed=1)
    packed = torch.ops.mkldnn._reorder_linear_weight(b_NK, rows)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda: product(a_MK, packed, None, "none", [], "")
