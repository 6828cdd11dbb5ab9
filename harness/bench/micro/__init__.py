"""Micro-benchmarks: single operations. Importing this package registers its groups."""

from __future__ import annotations

from harness.bench.micro import fetch, launch, layers, matmul, memory, threads, transfers

__all__ = ["fetch", "launch", "layers", "matmul", "memory", "threads", "transfers"]
