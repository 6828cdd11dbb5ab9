"""torch's optimisers without torch's compiler, which takes as long to load as all the rest of torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer

MARKED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""Methods that torch keeps from being compiled: the first call of each loads the compiler, to tell it so."""


@cache
def lean(kind: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    """Return a kind of optimiser that can be made, stepped and kept without loading the compiler.

    It is ``kind`` with the methods themselves in place of what marks them and ``step`` for a compiler and a profiler:
    for programs that compile no optimiser, hang no hooks on its steps and take no gradients through them.
    """
    assert isinstance(kind, type)
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in (*MARKED, "step")}
    return type(kind.__name__, (kind,), {**bare, "step": _without_gradients(bare["step"])})


def _without_gradients(step: Callable[..., Any]) -> Callable[..., Any]:
    def lean_step(self: Optimizer, closure: Callable[[], float] | None = None) -> Any:
        with torch.no_grad():
            return step(self, closure)

    lean_step.__dict__["hooked"] = True  # so torch does not wrap it for its profiler once more
    return lean_step
