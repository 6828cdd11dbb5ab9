"""Measuring: quality of predictions, time, memory, and what a model costs. What cannot be measured is NaN, with why."""

from __future__ import annotations

from harness.measure.cost import count_flops, count_parameters
from harness.measure.memory import MemoryPeak
from harness.measure.quality import ConfusionMatrix, Quality, Residuals, quality
from harness.measure.timing import Timings, inference_throughput, latency, synchronize, throughput, time_calls

__all__ = [
    "ConfusionMatrix",
    "MemoryPeak",
    "Quality",
    "Residuals",
    "Timings",
    "count_flops",
    "count_parameters",
    "inference_throughput",
    "latency",
    "quality",
    "synchronize",
    "throughput",
    "time_calls",
]
