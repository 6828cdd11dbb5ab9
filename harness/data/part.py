"""One part of the samples (train, validation or test) on the host, ready to be placed on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Normalise:
    """Per-channel standardisation of images, ``(x - mean) / std``, in the units of the raw pixels.

    Subtraction and division round alike wherever they run (IEEE 754, one operation each), so that normalising a whole
    part at once and batch by batch give the same bits.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return mean and std as float32 ``C11`` tensors, to be made once per placement."""
        mean_C = torch.tensor(self.mean, dtype=torch.float32, device=device)
        std_C = torch.tensor(self.std, dtype=torch.float32, device=device)
        return mean_C[:, None, None], std_C[:, None, None]


def standardise(x_BCHW: Tensor, mean_C11: Tensor, std_C11: Tensor) -> Tensor:
    """Return a new float32 tensor on the device of ``x_BCHW``; nothing else of its size is allocated."""
    return x_BCHW.to(torch.float32, copy=True, memory_format=torch.contiguous_format).sub_(mean_C11).div_(std_C11)


@dataclass(frozen=True, eq=False)
class Part:
    """Samples of one part. ``tensors(device)`` gives the final inputs; ``inputs`` may be more compact than those."""

    inputs: tuple[np.ndarray, ...]
    """One for each input of the task's shape, in its order. Images are raw, as uint8 or float32, and ``normalise`` is
    still to be applied; all others are final."""
    targets: np.ndarray
    """int64 (N,) class codes; or float32 values, N with the shape of a target, as the problem has them learned: less
    their mean in training, since far from zero float32 could not tell them apart. N x 0 where there is nothing to
    predict."""
    index: np.ndarray
    """int64 (N,) positions in the source."""
    normalise: Normalise | None = None
    exact: np.ndarray | None = None
    """float64 (N,) values as they were read; None where ``targets`` are that."""
    modality: str = "table"
    """The name of what the inputs are; it decides how they may be augmented."""

    def __len__(self) -> int:
        return len(self.targets)

    def first(self, count: int) -> Part:
        """Return the first so many samples."""
        inputs = tuple(array[:count] for array in self.inputs)
        exact = None if self.exact is None else self.exact[:count]
        return replace(self, inputs=inputs, targets=self.targets[:count], index=self.index[:count], exact=exact)

    @property
    def truth(self) -> np.ndarray:
        """The targets in their own units."""
        return self.targets if self.exact is None else self.exact

    @property
    def placed_bytes(self) -> int:
        """Bytes that the final inputs and the targets take on a device."""
        if self.normalise is None:
            return sum(array.nbytes for array in (*self.inputs, self.targets))
        return 4 * sum(array.size for array in self.inputs) + self.targets.nbytes

    def tensors(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return the final inputs of all samples on ``device``, as a model takes them."""
        inputs = tuple(torch.from_numpy(array).to(device) for array in self.inputs)
        if self.normalise is None:
            return inputs
        mean_C11, std_C11 = self.normalise.tensors(device)
        return tuple(standardise(x_NCHW, mean_C11, std_C11) for x_NCHW in inputs)
