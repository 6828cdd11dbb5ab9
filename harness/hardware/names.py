"""Names of devices, told apart from typos without loading torch."""

from __future__ import annotations

import re

from harness.errors import InputError


def check_device_name(name: str) -> None:
    """Raise :class:`InputError` unless a device may be called so; whether it is there is another question."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps")
