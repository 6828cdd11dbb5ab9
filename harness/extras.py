"""Packages that only some uses need, imported when they are; what is missing is answered with how to install it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from harness.errors import HardwareError


def load_extra(module: str, *, extra: str, use: str) -> ModuleType:
    """Import a module of an optional package, which the extra of that name installs.

    ``use`` says what needs it, at the start of a sentence. Raises :class:`HardwareError` where it cannot be imported.

    >>> load_extra("no_such_package", extra="ray", use="training on a cluster")
    Traceback (most recent call last):
        ...
    harness.errors.HardwareError: training on a cluster needs the package no-such-package: \
pip install 'harness-automl[ray]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        found = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise HardwareError(
            f"{use} needs the package {package}{found}: pip install 'harness-automl[{extra}]'"
        ) from None
