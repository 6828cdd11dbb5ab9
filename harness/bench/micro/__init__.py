"""Micro-benchmarks: single operations. Importing this package registers its groups."""

from __future__ import annotations

from harness.bench.micro import (
    attention,
    convolution,
    fetch,
    launch,
    lstm_cell,
    matmul,
    memory,
    threads,
    transfers,
)

__all__ = [
    "attention",
    "convolution",
    "fetch",
    "launch",
    "lstm_cell",
    "matmul",
    "memory",
    "threads",
    "transfers",
]
