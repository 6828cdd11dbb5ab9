"""What a row's note says of its rate, once all rows are there: beside public figures, another library, a roof."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.bench.peaks import HOST_BENCHES, ONEDNN, PRODUCT, Peaks, bare_name
from harness.bench.rows import Row
from harness.records import NAN

_HOPPER_PUBLIC = {"bf16": (600.0, 830.0), "fp16": (600.0, 830.0)}
PUBLIC: Mapping[str, Mapping[str, tuple[float, float]]] = {
    r"A100-SXM4-(40|80)GB": {"bf16": (220.0, 290.0), "fp16": (220.0, 290.0)},
    r"H100 80GB HBM3": _HOPPER_PUBLIC,
    r"H200": _HOPPER_PUBLIC,
}
"""TFLOP/s that others have measured of dense matrix products, by the GPU's name.

The upper ends are a little above the best over many shapes (S. Bekman, "Machine Learning Engineering", maximum
achievable matmul FLOPS: A100 SXM 271, H100 SXM 792; H. He, "H100 peak matmul FLOPS": 780), the lower ends what large
squares of random numbers reach at the usual power limits.
"""
BUSY_FLOPS = 2.0 * 4096**3
"""Smallest product that is held against them."""
FASTER = 1.1
"""Ratio from which a product says that the other library is faster."""
ABOVE = 1.05
"""Ratio from which a row is above a roof."""


def with_public_figures(rows: Iterable[Row], device_name: str) -> list[Row]:
    """Return the rows; a best matrix product that is out of the range of what others measured says so in its note.

    That is a hint, for instance at a power limit or at another clock, and no judgement. Only the best product of a
    precision is looked at, and only where it is large enough for the device to be busy.
    """
    known = next((each for name, each in PUBLIC.items() if re.fullmatch(name, bare_name(device_name))), {})
    rows = list(rows)
    for dtype, (low, high) in known.items():
        products = [row for row in rows if row.case.bench == PRODUCT and row.case.dtype == dtype and row.tflops > 0]
        best = max(products, key=lambda row: row.tflops, default=None)
        if best is None or low <= best.tflops <= high or best.flops < BUSY_FLOPS:
            continue
        word = "low" if best.tflops < low else "high"
        said = f"unusually {word} for this device: public figures are {low:.0f} to {high:.0f} TFLOP/s"
        rows[rows.index(best)] = _noted(best, said)
    return rows


def with_other_library(rows: Iterable[Row]) -> list[Row]:
    """Return the rows; a product that torch's other library computes clearly faster says so in its note."""
    rows = list(rows)
    rates = {(row.case.shape, row.case.dtype): row.tflops for row in rows if row.case.variant == ONEDNN}

    def told(row: Row) -> Row:
        if row.case.bench != PRODUCT or row.case.variant:
            return row
        ratio = rates.get((row.case.shape, row.case.dtype), NAN) / row.tflops
        return _noted(row, f"oneDNN computes it {ratio:.2f} times as fast") if ratio >= FASTER else row

    return [told(row) for row in rows]


def with_memory_roof(rows: Iterable[Row], measured: Peaks) -> list[Row]:
    """Return the rows; one that computes faster than memory could bring its data says so in its note.

    No row is above the measured peak of arithmetic, which is the best of them. The other roof is the measured bandwidth
    of memory times a row's FLOPs per byte, and whoever finds its data in a cache may be above it.
    """

    def told(row: Row) -> Row:
        brought = row.flops / row.bytes_moved * measured.gbps * 1e-3 if row.bytes_moved > 0 else NAN
        if row.case.bench in HOST_BENCHES or not row.tflops >= ABOVE * brought > 0:
            return row
        return _noted(row, f"{row.tflops / brought:.1f} times what memory could bring: its data are in a cache")

    return [told(row) for row in rows]


def _noted(row: Row, said: str) -> Row:
    return replace(row, note="; ".join(filter(None, (row.note, said))))
