"""Tensors of several models as one, each model's part where its bits do not depend on the others.

What a product or an elementwise function gives in the last bit depends on where its operands lie: kernels differ by
alignment, and what is left over after whole vectors is computed another way. So each model's part, its slab, begins at
a multiple of ALIGNED numbers, whatever the shapes; where slabs have a gap between them they are no contiguous tensor,
and torch goes through them one by one.

Shape legend: K models, B batch, I and O features before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

ALIGNED = 32
"""Numbers of four bytes: two vectors of AVX-512, the most that torch's loops take at once."""
SMALL = 400
"""Multiplications of a product below which torch's batched one takes the same way for any number of them."""


def slabs(count: int, *shape: int, like: Tensor) -> Tensor:
    """Return memory for ``count`` tensors of a shape, with the type of ``like``."""
    numbers = prod(shape)
    whole = torch.empty(count, -(-numbers // ALIGNED) * ALIGNED, dtype=like.dtype)
    return whole[:, :numbers].view(count, *shape)


def product(a_KBI: Tensor, b_KIO: Tensor, *, out: Tensor, bias_K1O: Tensor | None = None) -> Tensor:
    """Write the products of each model's matrices, plus a bias, to slabs; return them."""
    if out.shape[0] == 1 and 1 in (*out.shape[1:], a_KBI.shape[2]):
        # Of one model torch takes the product of a vector, of several that of matrices.
        twice = slabs(2, *out.shape[1:], like=out)
        both = None if bias_K1O is None else bias_K1O.expand(2, -1, -1)
        product(a_KBI.expand(2, -1, -1), b_KIO.expand(2, -1, -1), out=twice, bias_K1O=both)
        return out.copy_(twice[:1])
    if _looks_gapless(out) and a_KBI.shape[2] * out.numel() >= SMALL:
        if bias_K1O is None:
            torch.mm(a_KBI[0], b_KIO[0], out=out[0])
        else:
            torch.addmm(bias_K1O[0], a_KBI[0], b_KIO[0], out=out[0])
    elif bias_K1O is None:
        torch.bmm(a_KBI, b_KIO, out=out)
    else:
        torch.baddbmm(bias_K1O, a_KBI, b_KIO, out=out)
    return out


def elementwise(function: Callable[..., Tensor], *inputs: Tensor, out: Tensor) -> Tensor:
    """Write what a function with an argument ``out`` gives of each number to slabs; return them."""
    if _looks_gapless(out):
        twice = slabs(2, *out.shape[1:], like=out)
        function(*(x.expand(2, *x.shape[1:]) for x in inputs), out=twice)
        return out.copy_(twice[:1])
    function(*inputs, out=out)
    return out


def _looks_gapless(out: Tensor) -> bool:
    """Tell whether torch takes the one slab for contiguous, as it does not take several: the kernels are others."""
    return out.shape[0] == 1 and out.numel() % ALIGNED != 0


def in_slabs(x_KBI: Tensor, buffers: Buffers) -> Tensor:
    """Return a tensor that has no gaps as slabs, which it is where there is nothing over after whole vectors."""
    _, rows, columns = x_KBI.shape
    return x_KBI if rows * columns % ALIGNED == 0 else buffers.get("slabs", x_KBI).copy_(x_KBI)


class Buffers:
    """Slabs that are used again in every step, by what they are for and their shape."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Tensor] = {}

    def get(self, name: str, like: Tensor, width: int = 0) -> Tensor:
        """Return slabs with anything in them, of the type and shape of ``like``, but for another last dimension."""
        key = (name, like.shape, width)
        if key not in self._known:
            self._known[key] = slabs(*like.shape[:-1], width or like.shape[-1], like=like)
        return self._known[key]

    def clear(self) -> None:
        """Let go of all."""
        self._known.clear()


class Stacked:
    """A parameter or a buffer of one name in several modules: their tensors become views of slabs, as their gradients.

    The modules stay what they are: whatever reads or writes their tensors reads or writes the slabs.
    """

    def __init__(self, modules: Sequence[nn.Module], name: str) -> None:
        self._modules, self._name = list(modules), name
        first = getattr(modules[0], name)
        self._learns = isinstance(first, nn.Parameter)
        self.value = self._copied([getattr(module, name).detach() for module in modules])
        self.gradient = self._like_value() if self._learns else self.value
        self._bind()

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all but the modules at these places; the others have tensors of their own again."""
        for place, module in enumerate(self._modules):
            if place not in places:
                self._put(module, self.value[place].clone(), None)
        self._modules = [self._modules[place] for place in places]
        if self._modules:
            self.value = self._copied([self.value[place] for place in places])
            self.gradient = self._like_value() if self._learns else self.value
            self._bind()

    def _copied(self, tensors: Sequence[Tensor]) -> Tensor:
        value = slabs(len(tensors), *tensors[0].shape, like=tensors[0])
        for slab, tensor in zip(value, tensors, strict=True):
            slab.copy_(tensor)
        return value

    def _like_value(self) -> Tensor:
        return slabs(*self.value.shape, like=self.value).zero_()

    def _bind(self) -> None:
        for place, module in enumerate(self._modules):
            self._put(module, self.value[place], self.gradient[place] if self._learns else None)

    def _put(self, module: nn.Module, value: Tensor, gradient: Tensor | None) -> None:
        if self._learns:
            parameter = getattr(module, self._name)
            parameter.grad = None
            parameter.data = value
            parameter.grad = gradient
        else:
            setattr(module, self._name, value)
