"""One row of what several rounds measured of a case."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

from harness.bench.rows import Case, Row
from harness.records import NAN
from harness.statistics import rounds_interval

_PEAKS = ("mem_allocated_peak_mib", "mem_device_peak_mib", "mem_rss_peak_mib", "temp_max_c", "compile_s")
_MEANS = ("idle_w", "psi_cpu", "cpu_wall_ratio")
_ENERGY = ("energy_j", "energy_source", "j_per_sample", "facts")
"""Come together from one round: energy is not measured in each."""


def merge_rounds(rows: Sequence[Row]) -> list[Row]:
    """Return one row for each case, in the order in which cases first came; ``rows`` are those of all rounds."""
    of_case: dict[Case, list[Row]] = {}
    for row in rows:
        of_case.setdefault(row.case, []).append(row)
    return [_merged(each) for each in of_case.values()]


def _merged(rows: list[Row]) -> Row:
    """Return the rows of one case as one; a round that failed is told, and does not undo the others."""
    good = [row for row in rows if row.status == "ok"]
    if not good:
        return next((row for row in reversed(rows) if row.status != "skipped"), rows[-1])
    metered = next((row for row in good if not math.isnan(row.energy_j)), good[0])
    conditions: dict[str, Any] = {
        **{name: _known(max, good, name) for name in _PEAKS},
        **{name: _known(fmean, good, name) for name in _MEANS},
        **{name: getattr(metered, name) for name in _ENERGY},
        "sm_mhz_median": _known(median, good, "sm_mhz_median"),
        "throttle": _listed(row.throttle for row in good),
        "note": _said([*(row.note for row in good), *_ends(rows)]),
    }
    merged = replace(good[0], **conditions)
    return _with_times(merged, [row for row in good if row.blocks_s])


def _ends(rows: Sequence[Row]) -> Iterator[str]:
    """Yield for each bad end how many rounds came to it, and why the last one did."""
    last = {row.status: row.note for row in rows if row.status != "ok"}
    for status, note in last.items():
        times = sum(row.status == status for row in rows)
        # What separates remarks must not be within one.
        yield f"{status} in {times} of {len(rows)} rounds ({note.replace('; ', ', ')})"


def _said(notes: Iterable[str]) -> str:
    """Return the remarks of all notes, each once; those that differ in their figures only are one."""
    remarks: dict[str, str] = {}
    for remark in filter(None, "; ".join(notes).split("; ")):
        remarks.setdefault(re.sub(r"\d+(\.\d+)?", "0", remark), remark)
    return "; ".join(remarks.values())


def _with_times(merged: Row, rows: list[Row]) -> Row:
    if len(rows) < 2:
        return replace(merged, round_blocks=tuple(len(row.blocks_s) for row in rows))
    middle, low, high = rounds_interval([row.blocks_s for row in rows])
    faster = merged.t_median_s / middle
    return replace(
        merged,
        n_blocks=sum(row.n_blocks for row in rows),
        n_samples=sum(row.n_samples for row in rows),
        stop_reason=_listed(row.stop_reason for row in rows),
        t_median_s=middle,
        t_ci_lo=low,
        t_ci_hi=high,
        t_min=min(row.t_min for row in rows),
        t_iqr=median(row.t_iqr for row in rows),
        samples_s=merged.samples_s * faster,
        tflops=merged.tflops * faster,
        gbps=merged.gbps * faster,
        blocks_s=tuple(seconds for row in rows for seconds in row.blocks_s),
        round_blocks=tuple(len(row.blocks_s) for row in rows),
    )


def _known(summary: Callable[[list[float]], float], rows: Iterable[Row], name: str) -> float:
    values = [value for row in rows if not math.isnan(value := getattr(row, name))]
    return summary(values) if values else NAN


def _listed(texts: Iterable[str]) -> str:
    """Return the parts of all texts, each once."""
    return ", ".join(dict.fromkeys(part for text in texts for part in text.split(", ") if part))
