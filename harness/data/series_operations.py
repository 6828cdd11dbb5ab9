"""Operations on whole batches of series, and the stretches of time that are blanked in sounds too.

Where lengths vary, shares are those of each series' own steps. Shape legend: B batch, T steps, C channels, M masks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MASK_DRAWS = 2
"""Of a mask: how long, and where."""
NOISE_DRAWS = 2
"""Of a series: the keys of its noise."""
_KEYS = 2**24
"""Values that a uniform float32 draw has; each is the key of another noise."""


def move(x_BTC: Tensor, u_B: Tensor, share: float, length_B: Tensor, *, reflected: bool) -> Tensor:
    """Move series by whole steps, evenly up to a share of their lengths either way; zeros or reflections move in."""
    reach_B1, last_B1 = _steps(share, length_B)[:, None], length_B[:, None] - 1
    later_B1 = (u_B[:, None] * (2 * reach_B1 + 1)).long().minimum(2 * reach_B1) - reach_B1
    source_BT = torch.arange(x_BTC.shape[1], device=x_BTC.device) - later_B1
    if reflected:
        period_B1 = (2 * last_B1).clamp(min=1)
        source_BT = source_BT % period_B1
        source_BT = source_BT.minimum(period_B1 - source_BT).minimum(last_B1)
    outside_BT = (source_BT < 0) | (source_BT > last_B1)
    source_BTC = source_BT.clamp(0, x_BTC.shape[1] - 1)[:, :, None].expand_as(x_BTC)
    return x_BTC.gather(1, source_BTC).masked_fill(outside_BT[:, :, None], 0.0)


def masks(u_BK: Tensor, share: float, length_B: Tensor, size: int) -> Tensor:
    """Return booleans (B, size), true in as many stretches as there are pairs of draws; they may overlap.

    Each is 0 to a share of the length long, every whole number as likely, and lies anywhere within that length (Park et
    al., 2019, arXiv:1904.08779, section 2).
    """
    length_B1 = length_B[:, None]
    most_B1 = _steps(share, length_B1)
    wide_BM = (u_BK[:, 0::MASK_DRAWS] * (most_B1 + 1)).long().minimum(most_B1)
    free_BM = length_B1 - wide_BM
    start_BM = (u_BK[:, 1::MASK_DRAWS] * (free_BM + 1)).long().minimum(free_BM)
    place = torch.arange(size, device=u_BK.device)
    return ((place >= start_BM[:, :, None]) & (place < (start_BM + wide_BM)[:, :, None])).any(dim=1)


def noise(u_B2: Tensor, steps: int, channels: int) -> Tensor:
    """Return standard normal noise (B, T, C); each value follows from the draws of its sample and from its place.

    Two uniform values become a normal one (Box & Muller, 1958, doi:10.1214/aoms/1177706645).
    """
    place_TC = torch.arange(steps * channels, device=u_B2.device).view(steps, channels)
    key_B2 = (u_B2 * _KEYS).long()
    radius_BTC, angle_BTC = (_hashed(key_B2[:, column, None, None], place_TC) for column in range(NOISE_DRAWS))
    return (-2.0 * radius_BTC.log()).sqrt() * torch.cos(2.0 * math.pi * angle_BTC)


def _steps(share: float, length: Tensor) -> Tensor:
    """Return a share of lengths in whole steps: at least one, lest it did nothing unnoticed."""
    return (share * length).round().clamp(min=1).long()


def _hashed(key: Tensor, place: Tensor) -> Tensor:
    """Return float32 values in (0, 1], spread evenly over keys and places."""
    return ((_mixed(_mixed(key) + place) >> 8) + 1) / 2.0**24


def _mixed(bits: Tensor) -> Tensor:
    """Return whole numbers of 32 bits as the last step of MurmurHash3 mixes them; their products wrap around."""
    low = 0xFFFFFFFF
    bits = bits & low
    bits = ((bits ^ (bits >> 16)) * 0x85EBCA6B) & low
    bits = ((bits ^ (bits >> 13)) * 0xC2B2AE35) & low
    return bits ^ (bits >> 16)
