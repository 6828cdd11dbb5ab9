"""The generators of torch that layers draw from: the CPU's and, where there is one, the device's own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from harness.errors import StorageError


def seed_torch(device: torch.device, seed: int) -> None:
    """Seed the generators, without the detours of torch.manual_seed (160 us against 1 us)."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        with _current(device):
            _module(device).manual_seed(seed)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the state of each generator, by the kind of its device."""
    states = {"cpu": torch.default_generator.get_state()}
    if device.type != "cpu":
        with _current(device):
            states[device.type] = _module(device).get_rng_state()
    return states


def check_random_states(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Raise :class:`StorageError` for states that these generators cannot have."""
    for kind, own in random_states(device).items():
        state = states.get(kind, own)
        if (state.dtype, state.shape) != (own.dtype, own.shape):
            raise StorageError(f"checkpoint: it holds no state of torch's random generator on {kind}; start anew")


def set_random_states(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Put the states back; a generator without one, as on another kind of device, stays as it is."""
    if "cpu" in states:
        torch.default_generator.set_state(states["cpu"])
    if device.type != "cpu" and device.type in states:
        with _current(device):
            _module(device).set_rng_state(states[device.type])


def _module(device: torch.device) -> Any:
    return torch.get_device_module(device)


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """Make it the device that torch's functions without an argument mean, where there can be several."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
