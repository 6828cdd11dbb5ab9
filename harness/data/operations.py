"""Random operations on whole batches of images, a few drawn for each image, as in RandAugment.

Cubuk et al. (2020, arXiv:1909.13719), without the operations that need the range of the pixels (solarise, posterise,
equalise), since images are standardised by now. The strength of each is drawn evenly up to the magnitude, either way,
as in TrivialAugment (Mueller & Hutter, 2021, arXiv:2103.10158). Those that move pixels become one affine map, and what
moves in is each channel's mean; those that change values follow, in their order.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATIONS = ("none", "rotate", "shear_x", "shear_y", "move_x", "move_y", "brighten", "contrast", "sharpen")
"""In the order of their draws, each as likely as any other."""
_GREATEST = {
    "rotate": math.radians(30.0),
    "shear_x": 0.3,
    "shear_y": 0.3,
    "move_x": 0.3,
    "move_y": 0.3,
    "brighten": 1.0,
    "contrast": 0.9,
    "sharpen": 0.9,
}
"""At magnitude 1: radians, tangents, shares of a side, standard deviations of the pixels, and shares."""
DRAWS = 2
"""Of each operation: which, and how strong."""


def operate(x_BCHW: Tensor, u_BK: Tensor, magnitude: float) -> Tensor:
    """Return images changed by as many operations as there are pairs of uniform draws in ``u_BK``."""
    chosen_BN = (u_BK[:, 0::DRAWS] * len(OPERATIONS)).floor().clamp(max=len(OPERATIONS) - 1)
    strength_BN = magnitude * (2.0 * u_BK[:, 1::DRAWS] - 1.0)
    steps = [
        {
            name: strength_BN[:, step].where(chosen_BN[:, step] == OPERATIONS.index(name), 0.0) * most
            for name, most in _GREATEST.items()
        }
        for step in range(chosen_BN.shape[1])
    ]
    x_BCHW = _moved(x_BCHW, steps)
    for step in steps:
        x_BCHW = _changed(x_BCHW, step)
    return x_BCHW


def _moved(x_BCHW: Tensor, steps: list[dict[str, Tensor]]) -> Tensor:
    """Turn, shear and move about the centre, bilinearly, all at once."""
    height, width = x_BCHW.shape[2:]
    map_B33 = torch.eye(3, dtype=x_BCHW.dtype, device=x_BCHW.device).expand(len(x_BCHW), 3, 3)
    for step in steps:
        map_B33 = _affine(step, height / width) @ map_B33
    grid_BHW2 = F.affine_grid(map_B33[:, :2], list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, grid_BHW2, align_corners=False)


def _affine(step: dict[str, Tensor], ratio: float) -> Tensor:
    """Return ``B x 3 x 3`` maps from places in the new image to those in the old one; both axes run from -1 to 1."""
    cos_B, sin_B = torch.cos(step["rotate"]), torch.sin(step["rotate"])
    zero_B = torch.zeros_like(cos_B)
    rows = (
        (cos_B, (step["shear_x"] - sin_B) * ratio, -2.0 * step["move_x"]),
        ((step["shear_y"] + sin_B) / ratio, cos_B, -2.0 * step["move_y"]),
        (zero_B, zero_B, zero_B + 1.0),
    )
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _changed(x_BCHW: Tensor, step: dict[str, Tensor]) -> Tensor:
    """Change brightness, contrast about the image's mean, and sharpness against the mean of 3 x 3 pixels."""
    brighten, contrast, sharpen = (step[name][:, None, None, None] for name in ("brighten", "contrast", "sharpen"))
    mean_B111 = x_BCHW.mean(dim=(1, 2, 3), keepdim=True)
    x_BCHW = mean_B111 + (x_BCHW - mean_B111) * (1.0 + contrast) + brighten
    blurred = F.avg_pool2d(x_BCHW, 3, stride=1, padding=1, count_include_pad=False)
    return x_BCHW + sharpen * (x_BCHW - blurred)
