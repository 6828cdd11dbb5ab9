"""Images: one array of the size of training. Shape legend: N samples, C channels, H height, W width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.part import Normalise, standardise
from harness.exporting.forms.form import RawForm, RawInput

_MADE = 16


class ImageForm(RawForm[np.ndarray]):
    """``N x C x H x W`` in the range of the training data's."""

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[RawInput, ...]:
        """Return the only one.

        float32 holds the bytes of images exactly, so it also serves for runs that did not note what they were.
        """
        return (RawInput("image", "image", fitted.get("dtype", "float32"), tuple(fitted["image"])),)

    def prepared(self, fitted: Mapping[str, Any]) -> nn.Module:
        """Return what standardises each channel."""
        return Standardised(fitted["mean"], fitted["std"])

    def arrays(self, fitted: Mapping[str, Any], raw: np.ndarray) -> dict[str, np.ndarray]:
        """Return the images in their type."""
        (image,) = self.inputs(fitted)
        return {image.name: np.ascontiguousarray(raw, image.dtype)}

    def made_up(self, fitted: Mapping[str, Any]) -> np.ndarray:
        """Return noise."""
        (image,), rng = self.inputs(fitted), np.random.default_rng(0)
        if image.dtype == "uint8":
            return rng.integers(0, 256, (_MADE, *image.shape)).astype(np.uint8)
        mean_C11, std_C11 = (np.reshape(fitted[name], (-1, 1, 1)) for name in ("mean", "std"))
        return (mean_C11 + std_C11 * rng.normal(size=(_MADE, *image.shape))).astype(np.float32)


class Standardised(nn.Module):
    """Takes ``N x C x H x W``."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        normalise = Normalise(tuple(mean), tuple(std))
        for name, values in zip(("mean", "std"), normalise.tensors(torch.device("cpu")), strict=True):
            self.register_buffer(name, values)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, ...]:
        """Return them standardised, float32."""
        return (standardise(x_NCHW, self.mean, self.std),)
