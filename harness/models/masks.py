"""Dropout with masks that are quick to draw on a CPU.

Where MKL does not draw for it, as it does on Intel's processors alone, torch takes 53 random bits for every number that
a mask is for, and one number after the other. Here each takes 16 bits, and all are compared at once: of 16,384 numbers
in a third of the time.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

_STEPS = 2**16
"""A share is rounded to one of so many steps; what is kept is scaled by the share that was rounded."""
_EACH = 4
"""Masked numbers that a draw of 64 bits is for."""


def _drawn_by_mkl() -> bool:
    """Tell whether torch has MKL draw masks here: then its own generator has not gone on by 64 bits for each number."""
    one_by_one, mask = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    torch.empty(2 * 16, dtype=torch.int32).random_(generator=one_by_one)
    torch.empty(16).bernoulli_(0.5, generator=mask)
    return not torch.equal(one_by_one.get_state(), mask.get_state())


BY_MKL = _drawn_by_mkl()
"""Found out while this is imported: of tensors that only pretend to be there it could not be."""


class QuickDropout(nn.Dropout):
    """``nn.Dropout``: that very layer where a graph is made of it, on other devices, and where MKL draws."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, in training with a share of its numbers set to zero and the others scaled up."""
        by_torch = BY_MKL or x.device.type != "cpu" or torch.compiler.is_compiling()
        if by_torch or self.p == 0.0 or not self.training:
            return super().forward(x)
        return x * draw_mask(torch.empty_like(x, requires_grad=False), self.p)


def draw_mask(out: Tensor, share: float, generator: Generator | None = None) -> Tensor:
    """Fill a tensor on the CPU with 0 where a number is dropped, and with what the others are scaled by; return it."""
    if BY_MKL:
        return out.bernoulli_(1.0 - share, generator=generator).div_(1.0 - share)
    dropped = min(round(share * _STEPS), _STEPS - 1)
    draws = torch.empty(-(-out.numel() // _EACH), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    bits = draws.view(torch.int16)[: out.numel()].view(out.shape)
    return torch.ge(bits, dropped - _STEPS // 2, out=out).mul_(_STEPS / (_STEPS - dropped))
