"""Muon (Jordan et al., 2024): each step is the momentum of a weight as a matrix, made orthogonal.

torch has one for matrices alone, whose products are in bfloat16. A CPU without units for it, such as AMX, makes these
one number at a time: a step of a matrix of 256 x 256 took 280 ms in bfloat16 and 9 ms in float32 on a core with AVX2.
By its Gram matrix one of 192 x 1728 takes 5 ms in float32 instead of 14 (a core with AVX-512).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the polynomial, which takes singular values from 0 to 1 to about 1 in few steps (Jordan et al.)."""
STEPS = 5
EPSILON = 1e-7
LONG = 2
"""Times as long as wide, from which a matrix is worth the products of its Gram matrix instead of its own."""


class Muon(Optimizer):
    """Muon with steps of the size that AdamW's have (Liu et al., 2025, arXiv:2502.16982), and decoupled decay.

    What has more than two dimensions, as a convolution's kernels, is a matrix of its first one by all others.
    """

    def __init__(self, params: Any, *, lr: float, weight_decay: float, momentum: float, nesterov: bool) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step, and return what ``closure`` says."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight.grad)
                mean = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                matrix = ahead.flatten(1)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                size = 0.2 * math.sqrt(max(matrix.shape))
                weight.add_(orthogonal(matrix).reshape(weight.shape), alpha=-group["lr"] * size)
        return loss


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix whose singular values are near 1 and whose singular vectors are those of ``matrix``.

    By a Newton-Schulz iteration, in bfloat16 on a GPU, as torch's Muon has it, and in the matrix's own numbers else:
    these have digits enough to iterate on the Gram matrix of a long one (Gram Newton-Schulz, Dao AI Lab, 2026).
    """
    tall = matrix.size(0) > matrix.size(1)
    wide = matrix.T if tall else matrix
    wide = wide.bfloat16() if matrix.is_cuda else wide
    wide = wide / wide.norm().clamp(min=EPSILON)  # no singular value is above 1
    by_gram = not matrix.is_cuda and wide.size(1) >= LONG * wide.size(0)
    found = _factor(wide @ wide.T) @ wide if by_gram else _iterated(wide)
    return (found.T if tall else found).to(matrix.dtype)


def _iterated(matrix: Tensor) -> Tensor:
    for _ in range(STEPS):
        matrix = torch.addmm(matrix, _polynomial(matrix @ matrix.T), matrix, beta=COEFFICIENTS[0])
    return matrix


def _factor(gram: Tensor) -> Tensor:
    """Return what the same iteration multiplies a matrix with from the left, by its product with its transpose."""
    factor = each = _polynomial(gram, COEFFICIENTS[0])
    for _ in range(STEPS - 1):
        gram = each @ gram @ each
        each = _polynomial(gram, COEFFICIENTS[0])
        factor = each @ factor
    return factor


def _polynomial(gram: Tensor, constant: float = 0.0) -> Tensor:
    """Return what one step multiplies with."""
    _, b, c = COEFFICIENTS
    found = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    if constant:
        found.diagonal().add_(constant)
    return found
