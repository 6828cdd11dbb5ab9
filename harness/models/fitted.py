"""Models that are fitted by other means than steps down a gradient, and are held by buffers.

How large the buffers are is known once a model is fitted. So loading a state takes the sizes from it, and looks at what
it holds before anything is computed with it: a state may come from anyone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What a model is fitted to."""

    inputs: tuple[Tensor, ...]
    """In host memory, one for each input of the task's shape."""
    targets: NDArray[Any]
    """int64 (N,) codes of classes, or float64 (N, V) values in standard units."""
    weights: NDArray[np.float64] | None
    """Of each sample; None: all count alike."""
    seed: int
    """Of whatever is drawn, below 2^32."""
    stages: int
    """In which the fit is done, at most: the model is of use after each of them."""
    check: Callable[[], None]
    """To be called where the fit can be given up; raises where it is to end."""

    def at_most(self, most: int, family: str) -> Samples:
        """Return so many of them where there are more, drawn at random; that is warned of."""
        count = len(self.targets)
        if count <= most:
            return self
        warnings.warn(f"{family} is fitted to {most:,} of {count:,} samples, drawn at random", stacklevel=2)
        rows = np.sort(np.random.default_rng(self.seed).permutation(count)[:most])
        inputs = tuple(x[torch.from_numpy(rows)] for x in self.inputs)
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, inputs=inputs, targets=self.targets[rows], weights=weights)


class Fitted(nn.Module):
    """A part of a model whose buffers a fit, or a state, gives their sizes.

    Subclasses register each buffer with its type and number of dimensions, empty, and set them by :meth:`hold`.
    """

    def __init__(self) -> None:
        super().__init__()
        nn.Module.register_load_state_dict_post_hook(self, _check_whole)

    def hold(self, **tensors: Tensor) -> None:
        """Take these in place of the buffers of their names. Raises ``ValueError`` for what :meth:`flaw` finds."""
        before = dict(self._buffers)
        for name, tensor in tensors.items():
            own = self.get_buffer(name)
            self._buffers[name] = tensor.detach().to(device=own.device, dtype=own.dtype).contiguous()
        if flaw := self.flaw():
            self._buffers.update(before)
            raise ValueError(flaw)

    def flaw(self) -> str:
        """Return what is wrong with the buffers as they are, and take down what follows from them; "" if nothing is."""
        return ""

    def mismatch(self) -> str:
        """Return what does not fit each other of this part and those in it, once all are loaded; "" if nothing is."""
        return ""

    @property
    def held(self) -> int:
        """Numbers in the buffers of this part that a state keeps."""
        kept = self._buffers.keys() - self._non_persistent_buffers_set
        return sum(self.get_buffer(name).numel() for name in kept)

    def extra_repr(self) -> str:
        """Return the sizes, on which the time of a pass depends."""
        return ", ".join(f"{name}={tuple(buffer.shape)}" for name, buffer in self.named_buffers(recurse=False))

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take the sizes from the state, then its values, unless there is something wrong with them."""
        before = dict(self._buffers)
        kept = before.keys() - self._non_persistent_buffers_set
        given = {name: state_dict[prefix + name] for name in kept if prefix + name in state_dict}
        for name, tensor in given.items():
            own = self.get_buffer(name)
            if tensor.dtype != own.dtype or tensor.ndim != own.ndim:
                error_msgs.append(f"{prefix}{name} is {tensor.dtype} of {tensor.ndim} dimensions, not as it is fitted")
                return
        self._buffers.update({name: self.get_buffer(name).new_empty(tensor.shape) for name, tensor in given.items()})
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if len(given) == len(kept) and (flaw := self.flaw()):
            self._buffers.update(before)
            error_msgs.append(f"{prefix or 'the model'}: {flaw}")


def _check_whole(module: nn.Module, _keys: object) -> None:
    assert isinstance(module, Fitted)
    if flaw := module.mismatch():
        raise RuntimeError(f"parts of the state do not fit each other: {flaw}")


def is_fitted(model: nn.Module) -> bool:
    """Tell whether any part of a model is held by buffers that a fit gives their sizes."""
    return any(isinstance(module, Fitted) for module in model.modules())
