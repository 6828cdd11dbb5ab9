"""Measuring: time and memory. What cannot be measured is NaN, with why."""

from __future__ import annotations

from harness.hardware import synchronize
from harness.measure.footprint import training_footprint
from harness.measure.memory import MemoryPeak, free_memory, is_out_of_memory, only_new_garbage
from harness.measure.resident import PeakMemory, ResidentPeak, allocated_mib
from harness.measure.timing import Timings, inference_throughput, latency, throughput, time_calls
from harness.measure.uncertainty import standard_error

__all__ = [
    "MemoryPeak",
    "PeakMemory",
    "ResidentPeak",
    "Timings",
    "allocated_mib",
    "free_memory",
    "inference_throughput",
    "is_out_of_memory",
    "latency",
    "only_new_garbage",
    "standard_error",
    "synchronize",
    "throughput",
    "time_calls",
    "training_footprint",
]
