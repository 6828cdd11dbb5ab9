"""``speednet``: a small convolutional network that learns in few epochs, for images (Jordan, 2024, arXiv:2404.00498).

The layers are those of airbench94: a whitening convolution, then three groups of ``conv, pool, norm, GELU, (conv, norm,
GELU) x (depth - 1)``, the maximum of each channel, and a linear layer whose outputs are scaled. What makes it fast:

- the first convolution is fixed from the start: the eigenvectors of the covariance of the training images' patches,
  each over the root of its eigenvalue and with both signs, so that what comes out has no correlations and unit
  variance. The covariance comes with the shape of the task; where that has none, patches are taken to be white.
- the other convolutions begin as the identity of as many channels as they have inputs (``dirac_``), the rest is drawn;
- norms are batch norms without a factor, which forget fast; their biases can learn at a rate of their own;
- ``depth`` 3 and more adds what the second convolution sees to what the last one gives (airbench96).

With N pixels along a side the maps have N - patch + 1 and, after the groups, 1/2, 1/4 and 1/8 of that, never under 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import MIN_WIDTH, GlobalMax
from harness.records import InputKind, TaskShape

GROUPS = 3
SIDE = 3
"""Of the patches whose covariance is known."""
SMALLEST = 4
"""Pixels along a side: the whitening convolution takes up to two of them, pooling halves the rest."""
EPSILON = 5e-4
"""Added to the eigenvalues, which may be 0, as in the paper."""


class SpeednetConfig(FamilyConfig):
    """Parameters of ``speednet``."""

    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=1024)] = 32
    """Channels of the first group; the paper's network has 64."""
    width_multiplier: Annotated[float, Field(strict=True, ge=1.0, le=8.0)] = 4.0
    """Channels of the second and third group over those of the first."""
    depth: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """Convolutions in each group, the first in front of the pooling."""
    patch: Literal[1, 2, 3] = 2
    """Height and width of the whitening convolution's kernel."""
    kernel: Literal[3, 5] = 3
    """Height and width of the other convolutions' kernels, padded so that the map keeps its size."""
    scale: Annotated[float, Field(strict=True, gt=0.0, le=10.0)] = 1 / 9
    """Factor of the outputs, which are large at first."""
    norm_momentum: Annotated[float, Field(strict=True, gt=0.0, le=1.0)] = 0.4
    """How far a batch norm goes towards the statistics of each batch."""
    norm_bias_rate: Annotated[float, Field(strict=True, gt=0.0, le=256.0)] = 1.0
    """Factor of the learning rate for the biases of norms; the paper's SGD has 64, which no other optimiser stands."""
    flip_average: Annotated[bool, Field(strict=True)] = False
    """In use, answer with the mean of the outputs for the image and for its mirror image, at twice the cost."""
    shift_average: Annotated[bool, Field(strict=True)] = False
    """In use, give half the weight to the outputs for the image moved by a pixel, up and left, and down and right, at
    three times the cost."""

    def widths(self) -> list[int]:
        """Return the channels of every group."""
        wide = round(self.width * self.width_multiplier)
        return [self.width, *[wide] * (GROUPS - 1)]


class Whitening(nn.Module):
    """A convolution with fixed kernels that takes correlations out of patches, and a bias that is learned."""

    kernels: Tensor

    def __init__(self, covariance: Sequence[Sequence[float]], channels: int, side: int) -> None:
        super().__init__()
        kernels = whitening(covariance, channels, side)
        self.register_buffer("kernels", torch.tensor(kernels.tolist(), dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(len(kernels)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return ``B x 2 C side^2 x (H - side + 1) x (W - side + 1)``."""
        return F.conv2d(x_BCHW, self.kernels, self.bias)


def whitening(covariance: Sequence[Sequence[float]], channels: int, side: int) -> np.ndarray:
    """Return kernels (K, channels, side, side) of both signs from the covariance of patches of ``SIDE x SIDE`` pixels.

    Without a covariance it is that of pixels that have nothing in common.
    """
    known = np.asarray(covariance) if len(covariance) else np.eye(channels * SIDE**2)
    pixels = np.arange(len(known)).reshape(channels, SIDE, SIDE)[:, :side, :side].ravel()
    values, vectors = np.linalg.eigh(known[np.ix_(pixels, pixels)])
    kernels: np.ndarray = (vectors / np.sqrt(values.clip(min=0.0) + EPSILON)).T.reshape(-1, channels, side, side)
    return np.concatenate([kernels, -kernels])


class Group(nn.Module):
    """Convolutions of one width at half the resolution of the group before."""

    def __init__(self, config: SpeednetConfig, before: int, after: int, window: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = _convolution(config, before, after)
        self.pool = nn.MaxPool2d(window)
        self.norm = _norm(config, after)
        self.activation = nn.GELU()
        self.rest = nn.Sequential()
        for number in range(1, config.depth):
            if number > 1:
                self.rest.append(nn.GELU())
            self.rest.append(_convolution(config, after, after))
            self.rest.append(_norm(config, after))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return maps of this group's channels, pooled."""
        x_BCHW = self.activation(self.norm(self.pool(self.convolution(x_BCHW))))
        if not len(self.rest):
            return x_BCHW
        residual = x_BCHW if len(self.rest) > 2 else 0.0
        out: Tensor = self.activation(residual + self.rest(x_BCHW))
        return out


class Speednet(nn.Module):
    """See the module's text; called with ``x_BCHW``."""

    def __init__(self, config: SpeednetConfig, shape: TaskShape) -> None:
        super().__init__()
        channels, height, width = shape.inputs[0].sizes
        self.whitening = Whitening(shape.inputs[0].patches, channels, config.patch)
        self.activation = nn.GELU()
        self.groups = nn.Sequential()
        height, width, before = height - config.patch + 1, width - config.patch + 1, len(self.whitening.kernels)
        for after in config.widths():
            window = (min(2, height), min(2, width))  # 1 along a side that cannot be halved
            height, width = height // window[0], width // window[1]
            self.groups.append(Group(config, before, after, window))
            before = after
        self.collapse = GlobalMax()
        self.head = nn.Linear(before, shape.outputs, bias=False)
        self.head.weight.data.div_(self.head.weight.data.std())
        self._config = config

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        if self.training:
            return self._once(x_BCHW)
        y_BO = self._mirrored(x_BCHW)
        if not self._config.shift_average:
            return y_BO
        height, width = x_BCHW.shape[2:]
        padded = F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate")
        up, down = padded[:, :, 2:, 2:], padded[:, :, :height, :width]
        return 0.5 * y_BO + 0.25 * (self._mirrored(up) + self._mirrored(down))

    def _mirrored(self, x_BCHW: Tensor) -> Tensor:
        """Return the outputs for an image, averaged with those for its mirror image if that is asked for."""
        if not self._config.flip_average:
            return self._once(x_BCHW)
        return 0.5 * (self._once(x_BCHW) + self._once(x_BCHW.flip(3)))

    def _once(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.groups(self.activation(self.whitening(x_BCHW)))
        y_BO: Tensor = self.head(self.collapse(x_BCHW)) * self._config.scale
        return y_BO

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the factors of rate and decay of the norms' biases."""
        norms = (name for name, layer in self.named_modules() if isinstance(layer, nn.BatchNorm2d))
        return {f"{name}.bias": (self._config.norm_bias_rate, 1.0) for name in norms}


def _convolution(config: SpeednetConfig, before: int, after: int) -> nn.Conv2d:
    """Return a convolution that lets its inputs through, and draws what channels it has beyond them."""
    layer = nn.Conv2d(before, after, config.kernel, padding=config.kernel // 2, bias=False)
    nn.init.dirac_(layer.weight.data[:before])
    return layer


def _norm(config: SpeednetConfig, channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, momentum=config.norm_momentum)
    layer.weight.requires_grad_(False)
    return layer


_takes_images = takes((InputKind.IMAGE,))


def _why_not(shape: TaskShape) -> str:
    if why := _takes_images(shape):
        return why
    _, height, width = shape.inputs[0].sizes
    if min(height, width) < SMALLEST:
        return f"takes images of at least {SMALLEST} x {SMALLEST} pixels, the task's are {height} x {width}"
    return ""


@family(
    "speednet",
    summary="whitening, then three groups of convolutions that begin as the identity: learns images in few epochs",
    config=SpeednetConfig,
    why_not=_why_not,
)
def build_speednet(config: SpeednetConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of images."""
    return Speednet(config, shape)
