"""Muon on a CPU (Jordan et al., 2024), whose products torch has in bfloat16.

Without units for it, such as AMX, a CPU makes bfloat16 products one number at a time: a step of a matrix of 256 x 256
took 280 ms in bfloat16 and 9 ms in float32 on a core with AVX2. Here they are of the weights' own type.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


class Muon(torch.optim.Muon):
    """torch's Muon with ``match_rms_adamw`` (Liu et al., 2025, arXiv:2502.16982), orthogonalised more exactly."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step, and return what ``closure`` says."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
                ahead = matrix.grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                step = orthogonal(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(step, alpha=-group["lr"] * (0.2 * math.sqrt(max(matrix.shape))))
        return loss


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Return a matrix whose singular values are near 1 and whose singular vectors are those of ``matrix``.

    By so many steps of a Newton-Schulz iteration with the coefficients of its polynomial.
    """
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    found = matrix.T if tall else matrix
    found = found / found.norm().clamp(min=eps)  # no singular value is above 1
    for _ in range(steps):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.T if tall else found
