"""Images average-pooled to a few values, for what sees them without a network."""

from __future__ import annotations

import numpy as np

PIXELS = 256
"""Most values of a pooled image."""
_CHUNK = 1024


def pool_of(channels: int, height: int, width: int) -> int:
    """Return the side of the squares of pixels that become one value; 1: every pixel is one.

    >>> pool_of(1, 28, 28), pool_of(3, 8, 8)
    (2, 1)
    """
    side = 1
    while channels * -(-height // side) * -(-width // side) > max(PIXELS, channels):
        side += 1
    return side


def pooled(images_NCHW: np.ndarray, side: int) -> np.ndarray:
    """Return float64 ``N x values``, the means of squares of pixels; those at the edge may be smaller."""
    import torch  # here, as the readers of data are loaded where nothing is computed
    import torch.nn.functional as F

    _, channels, height, width = images_NCHW.shape
    flat = np.empty((len(images_NCHW), channels * -(-height // side) * -(-width // side)))
    for start in range(0, len(images_NCHW), _CHUNK):
        chunk = torch.from_numpy(images_NCHW[start : start + _CHUNK]).float()
        flat[start : start + _CHUNK] = F.avg_pool2d(chunk, side, ceil_mode=True).flatten(1).numpy()
    return flat
