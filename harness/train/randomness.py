"""Chance that belongs to a training: torch's generators, which layers draw from, are lent to it and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


@contextmanager
def chance(device: torch.device, seed: int) -> Iterator[None]:
    """Let whatever draws from torch's generators, the CPU's and the device's own, draw from a stream of ``seed``.

    Afterwards they go on where they were, so that nothing in the process depends on what was drawn meanwhile. Without
    the detours of torch.manual_seed and torch.random.fork_rng.
    """
    on_host = torch.default_generator.get_state()
    with _current(device):
        on_device = None if device.type == "cpu" else _module(device).get_rng_state()
        torch.default_generator.manual_seed(seed)
        if on_device is not None:
            _module(device).manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(on_host)
        if on_device is not None:
            with _current(device):
                _module(device).set_rng_state(on_device)


def _module(device: torch.device) -> Any:
    return torch.get_device_module(device)


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """Make it the device that torch's functions without an argument mean, where there can be several."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
