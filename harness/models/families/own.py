"""A user's own module: ``family: "my_package.my_module:build"`` among an option's parameters.

Importing it runs the user's code, so it happens only when trusted; a space file from elsewhere must not run anything.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch
from torch import nn

from harness import own
from harness.digest import sha256_of_file
from harness.errors import InputError, described
from harness.models.calling import begin_training, evaluating, example_inputs
from harness.problems.outputs import leaves
from harness.records import Named, TaskShape

KEY = "family"
_PROBE = 2
"""Samples in the probe: with one, a lost batch dimension would go unseen."""


def is_own(architecture: Named) -> bool:
    """Say whether the option names a function of the user's."""
    return KEY in architecture.params


def check_path(architecture: Named) -> re.Match[str]:
    """Return the path's match, with groups ``module`` and ``name``; raise InputError when it has not that form."""
    return own.check_path(architecture.params[KEY], _where(architecture))


def own_sha256(architecture: Named) -> str | None:
    """Return the digest of the file of the user's module once it was imported; None for a family, or without a file."""
    if not is_own(architecture):
        return None
    file = getattr(sys.modules.get(check_path(architecture)["module"]), "__file__", None)
    return sha256_of_file(Path(file)) if file and Path(file).is_file() else None


def build(architecture: Named, shape: TaskShape, *, trust: bool) -> nn.Module:
    """Import and call the user's function, and probe what it returns with two samples.

    The module is in training mode, but for what the function left in evaluation mode.
    """
    path, where = architecture.params[KEY], _where(architecture)
    function = own.import_function(path, where, trust=trust)
    params = {name: value for name, value in architecture.params.items() if name != KEY}
    try:
        model = function(shape, **params)
    except Exception as error:
        raise InputError(f"{where}: {path} raised {described(error)}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{where}: {path} must return a torch.nn.Module, it returned {_kind(model)}")
    begin_training(model)
    _probe(model, shape, f"{where}: the module of {path}")
    return model


def _probe(model: nn.Module, shape: TaskShape, what: str) -> None:
    """Run two samples through the module in evaluation mode; its modes and torch's CPU generator stay as they were."""
    parameter = next(model.parameters(), None)
    inputs = example_inputs(shape, batch=_PROBE, device=None if parameter is None else parameter.device)
    try:
        with evaluating(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = model(*inputs)
    except Exception as error:
        raise InputError(f"{what} fails on a batch of {_PROBE}: {described(error)}") from error
    expected = (_PROBE, shape.outputs)
    first = next(leaves(outputs), None)
    if first is None:
        raise InputError(f"{what} must return a tensor of shape {expected}, it returned {_kind(outputs)}")
    if shape.target is not None and first.shape != expected:
        raise InputError(f"{what} must return shape {expected} for {_PROBE} samples, it returned {tuple(first.shape)}")
    if not first.is_floating_point():
        raise InputError(f"{what} must return floating-point numbers, it returned {first.dtype}")


def _where(architecture: Named) -> str:
    return f"architecture.{architecture.name}.{KEY}"


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
